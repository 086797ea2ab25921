"""The lifted network, and its weights back into the ONNX file."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from onnx import ModelProto, numpy_helper
from torch import fx

from edgeseg.core.ports import Array
from edgeseg.errors import GraphError
from edgeseg.graph.editor import Editor
from edgeseg.graph.lift.registry import TRANSFORMS, Transform

Origins: TypeAlias = "dict[str, tuple[str, Transform]]"


class LiftedModule(fx.GraphModule):
    """A `torch.fx` module made of an ONNX graph; survives `copy.deepcopy` as one.

    Called with the graph's inputs in order; returns its output, or a tuple of several. An fx node has the
    name of the module it calls, so one name is both.

    Attributes:
        initializers: parameter or buffer path -> (name of the ONNX tensor, transform).
        onnx_names: fx node name -> name of the ONNX node; several fx nodes may belong to one.
        fx_names: name of the ONNX node -> name of the fx node with its weights, or its last one. Nodes that
            were folded into constants have none.
        input_names, output_names: as in the file.
    """

    @property
    def initializers(self) -> Origins:
        return self._lifted("initializers")

    @property
    def onnx_names(self) -> dict[str, str]:
        return self._lifted("onnx_names")

    @property
    def fx_names(self) -> dict[str, str]:
        return self._lifted("fx_names")

    @property
    def input_names(self) -> tuple[str, ...]:
        return self._lifted("input_names")

    @property
    def output_names(self) -> tuple[str, ...]:
        return self._lifted("output_names")

    def _lifted(self, key: str) -> Any:
        return self.meta["lifted"][key]


def write_back(lifted: LiftedModule, model: ModelProto) -> ModelProto:
    """A copy of the file with the module's weights, by name.

    A weight that the file computes from constants (a dequantised one, say) and that changed becomes an
    initialiser of that name. Half-precision initialisers stay half precision.

    Args:
        model: the file `lifted` was made of.

    Raises:
        GraphError: a tensor is missing in the file, has another shape (a pruned network: export it
            instead), or is used in two ways that were trained apart.
    """
    editor = Editor(model)
    tensors: dict[str, torch.Tensor] = dict(lifted.named_parameters()) | dict(lifted.named_buffers())
    written: dict[str, tuple[str, Array]] = {}
    for path, (name, transform) in lifted.initializers.items():
        if path not in tensors:
            continue
        value = TRANSFORMS[transform](tensors[path].detach().cpu().numpy())
        if name in written and not np.array_equal(written[name][1].reshape(-1), value.reshape(-1)):
            raise GraphError(
                f"'{name}' is the weight of '{written[name][0]}' and of '{path}', which differ now",
                expected="one value for one initialiser",
                hint="train one of the two only, or export the lifted module as a new file",
            )
        written[name] = path, value
        _write(editor, name, path, value)
    return editor.finish()


def _write(editor: Editor, name: str, path: str, value: Array) -> None:
    old = editor.initializers.get(name)
    if old is None:
        if name in editor.producer:
            _replace_computed(editor, name, value)
            return
        raise GraphError(
            f"the file has no tensor '{name}', the weight of '{path}'", expected="the file that was lifted"
        )
    before = numpy_helper.to_array(old)
    if before.size != value.size or (sorted(before.shape) != sorted(value.shape) and value.ndim > 1):
        raise GraphError(
            f"the weight '{path}' is {list(value.shape)}, the file's '{name}' is {list(before.shape)}",
            expected="the shapes of the file",
            hint="a pruned network is exported as a new file instead",
        )
    old.CopyFrom(
        numpy_helper.from_array(np.array(value.reshape(before.shape), before.dtype, order="C"), name)
    )


def _replace_computed(editor: Editor, name: str, value: Array) -> None:
    """Make the output of a node an initialiser."""
    producer = editor.producer[name]
    producer.output[list(producer.output).index(name)] = editor.unique(f"{name}_before")
    tensor = editor.graph.initializer.add()
    tensor.CopyFrom(numpy_helper.from_array(np.array(value, order="C"), name))
    editor.initializers[name] = tensor
    editor.refresh()
