"""Quantisation-aware training: the Q/DQ graph as a network that learns, and its numbers back into the file.

    prepare (Q/DQ graph -> torch) -> any training loop -> write_back (the same graph, other numbers)

The graph that is trained is the graph that ships: no operator is added, moved or translated in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from onnx import ModelProto, NodeProto, numpy_helper
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from edgeseg.core.ports import Array
from edgeseg.errors import GraphError
from edgeseg.graph.editor import Editor, attribute
from edgeseg.graph.heads import returning
from edgeseg.graph.lift import LiftedModule, lift
from edgeseg.graph.lift import write_back as write_weights
from edgeseg.graph.lift.ops.quantization import DequantizeLinear, QuantizeLinear
from edgeseg.graph.lift.registry import TRANSFORMS, Requantized, Transform
from edgeseg.quantization.placement.insertion import INT8
from edgeseg.quantization.placement.sharing import SharedScales
from edgeseg.quantization.qat.fake_quant import FakeQuantize, FakeQuantizedBias, Learned
from edgeseg.quantization.weights import quantize_weight

_META = "qat"


@dataclass(frozen=True)
class Trainable:
    """
    Attributes:
        module: the Q/DQ graph in torch, in evaluation mode: each Q -> DQ pair is a `FakeQuantize`, each int8
            weight a float parameter seen through one.
        weights: int8 weights; `masters`: those of them that start from the float graph.
        scales: grids of activations; tensors that share one count once.
    """

    module: LiftedModule
    weights: int
    masters: int
    scales: int


def prepare(
    quantized: ModelProto, original: ModelProto | None = None, *, outputs: Sequence[str] = ()
) -> Trainable:
    """The Q/DQ graph as a module that computes the same and can be trained.

    Args:
        quantized: from `ptq.apply`.
        original: the float graph it was made of, with upsampling merged where the scheme merges it. A weight
            of the same name that rounds to the same levels is what training starts from; without it, or
            after equalisation, the dequantised levels are.
        outputs: tensors that are trained, inner ones too; none named: the first output. What only serves
            others stays as it is.

    Raises:
        GraphError: no Q/DQ pairs, or pairs that are not as `insert` writes them.
        UnsupportedOperator: lists the nodes that cannot be lifted.
    """
    if not any(node.op_type == "QuantizeLinear" for node in quantized.graph.node):
        raise GraphError(
            "the graph has no QuantizeLinear",
            expected="the Q/DQ graph of a quantised network",
            hint="quantise it first (step `quantize`)",
        )
    surgery = _Surgery(quantized, original, outputs)
    surgery.activations()
    surgery.constants()
    return surgery.finish()


def lift_outputs(model: ModelProto, outputs: Sequence[str] = ()) -> LiftedModule:
    """The lifted network with these tensors alone as outputs; none named: the first output. Raises as `lift`
    and `returning`."""
    return lift(returning(model, outputs or [model.graph.output[0].name]))


def write_back(module: LiftedModule, quantized: ModelProto) -> ModelProto:
    """A copy of the Q/DQ graph with the weights, biases and scales of the module, by name.

    Args:
        module: from `prepare(quantized)`, or a trained copy of it.

    Raises:
        GraphError: the graph lacks one of the names.
    """
    editor = Editor(write_weights(module, quantized))
    about = module.meta[_META]
    for path, names in about["scales"].items():
        for name in names:
            _overwrite(editor, name, module.get_submodule(path).scale.detach().cpu().numpy())
    for stored in about["stored"]:
        learned = module.get_submodule(stored.learned)
        value = module.get_parameter(stored.value).detach() * learned.unit
        if learned.grid is not None:
            value = learned.grid.levels(value)
            _overwrite(editor, stored.scale, learned.grid.scale.detach().cpu().numpy())
        _overwrite(editor, stored.constant, TRANSFORMS[stored.transform](value.cpu().numpy()))
    return editor.finish()


@dataclass(frozen=True)
class _Stored:
    """A constant of the graph, and the parameter it became.

    Attributes:
        constant: name of the initialiser: levels where a DequantizeLinear reads it, else float.
        scale: name of the scale of levels.
        value, learned: paths of the parameter and of the `Learned` it is seen through.
        transform: how the parameter was made of the constant.
    """

    constant: str
    scale: str
    value: str
    learned: str
    transform: Transform


class _Surgery:
    """Puts fake-quantisers into a lifted Q/DQ graph."""

    def __init__(self, quantized: ModelProto, original: ModelProto | None, outputs: Sequence[str]) -> None:
        self.editor = Editor(quantized)
        self.module = lift_outputs(quantized, outputs)
        self.nodes = {node.name: node for node in self.editor.graph.node}
        self.shared = SharedScales(quantized)
        self.limit = _level_limit(self.editor)
        self.floats = {t.name: t for t in original.graph.initializer} if original else {}
        self.grids: dict[str, FakeQuantize] = {}
        """By name of the scale: of the one that stands for all that are shared, or of a weight."""
        self.paths: dict[str, str] = {}
        self.stored: list[_Stored] = []
        self.masters: dict[str, bool] = {}
        self.units: dict[int, Tensor] = {}
        """By id of the parameter: several layers may read one."""

    def activations(self) -> None:
        """Replace each Q -> DQ pair by a fake-quantiser."""
        graph = self.module.graph
        for node in list(graph.nodes):
            quantizer = self._called(node)
            if not isinstance(quantizer, QuantizeLinear):
                continue
            name, readers = self.module.onnx_names[node.name], list(node.users)
            if not readers or not all(isinstance(self._called(r), DequantizeLinear) for r in readers):
                raise GraphError(
                    f"the output of QuantizeLinear '{name}' is not read by DequantizeLinear alone",
                    expected="Q -> DQ pairs",
                )
            with graph.inserting_after(node):
                made = graph.call_module(self._grid(self.nodes[name], quantizer), (node.args[0],))
            for reader in readers:
                reader.replace_all_uses_with(made)
                graph.erase_node(reader)
            graph.erase_node(node)

    def constants(self) -> None:
        """Learn int8 weights and int32 biases in float, seen through their grids."""
        for path, part in self.module.named_modules():
            if isinstance(part, Requantized):
                owner = path.partition(".parametrizations")[0]
                raise GraphError(
                    f"the weight of '{owner}' is stored in float and quantised in the graph",
                    expected="weights stored as int8, with a DequantizeLinear",
                    hint="quantise the float network with edgeseg",
                )
        origin = {id(self.module.get_parameter(p)): (p, o) for p, o in self._learned().items()}
        found = []
        for path, parameter in list(self.module.named_parameters(remove_duplicate=False)):
            first, (name, transform) = origin.get(id(parameter), ("", ("", "same")))
            node = self.editor.producer.get(name)
            if node is None or node.op_type != "DequantizeLinear":
                continue
            self.module.initializers.pop(first, None)
            found.append((path, transform, node, self._constant(node.input[0])))
        for path, transform, node, levels in sorted(found, key=lambda f: f[3].dtype == np.int32):
            grid: FakeQuantize | FakeQuantizedBias
            if levels.dtype == np.int32:
                grid, unit = self._bias(node), self._unit(path, node.output[0])
            else:
                grid = self._weight(node, levels, transform)
                if self._known(path) is None:
                    self._start(path, transform, node, levels)
                whole = grid.axis is None
                value = self.module.get_parameter(path)
                unit = self._unit(path, node.output[0]) if whole else grid.largest(value)
            self._see_through(path, Learned(unit, grid), node.input[0], node.input[1], transform)
        rest = {id(self.module.get_parameter(p)): (p, *o) for p, o in self._learned().items()}
        for path, parameter in list(self.module.named_parameters(remove_duplicate=False)):
            if id(parameter) in rest:
                first, name, transform = rest[id(parameter)]
                self.module.initializers.pop(first, None)
                self._see_through(path, Learned(self._unit(path, name)), name, "", transform)

    def finish(self) -> Trainable:
        module = self.module
        module.graph.eliminate_dead_code()
        module.recompile()
        module.delete_all_unused_submodules()
        scales: dict[str, list[str]] = {path: [] for path in self.paths.values()}
        for node in self.nodes.values():
            if node.op_type == "QuantizeLinear" and self.shared.root(node) in self.paths:
                scales[self.paths[self.shared.root(node)]].append(node.input[1])
        module.meta[_META] = {"scales": scales, "stored": self.stored}
        return Trainable(module.eval(), len(self.masters), sum(self.masters.values()), len(scales))

    def _called(self, node: fx.Node) -> nn.Module | None:
        return self.module.get_submodule(str(node.target)) if node.op == "call_module" else None

    def _learned(self) -> dict[str, tuple[str, Transform]]:
        parameters = dict(self.module.named_parameters())
        return {path: origin for path, origin in self.module.initializers.items() if path in parameters}

    def _grid(self, pair: NodeProto, quantizer: QuantizeLinear) -> str:
        """Path of the fake-quantiser of a pair; those that share a scale have one."""
        key = self.shared.root(pair)
        if key not in self.grids:
            limits = torch.iinfo(quantizer.dtype)
            axis = None if quantizer.scale.numel() == 1 else quantizer.axis
            self.grids[key] = FakeQuantize(
                quantizer.scale, quantizer.zero_point, axis, limits.min, limits.max
            )
            self.paths[key] = f"grid_{len(self.paths)}"
            self.module.add_module(self.paths[key], self.grids[key])
        return self.paths[key]

    def _weight(self, node: NodeProto, levels: Array, transform: Transform) -> FakeQuantize:
        scale = self._constant(node.input[1])
        zero = self._constant(node.input[2]) if len(node.input) > 2 else np.zeros(scale.shape, np.int8)
        if node.input[1] not in self.grids:
            axis = _axis(node, levels, scale)
            if axis is not None and transform == "transposed" and axis >= levels.ndim - 2:
                axis = 2 * levels.ndim - 3 - axis
            limits = np.iinfo(levels.dtype)
            low, high = (limits.min, limits.max) if zero.any() else (-self.limit, self.limit)
            self.grids[node.input[1]] = FakeQuantize(_tensor(scale), _tensor(zero), axis, low, high)
        return self.grids[node.input[1]]

    def _bias(self, node: NodeProto) -> FakeQuantizedBias:
        """The grid of an int32 bias follows the grids of what its layer multiplies."""
        grids = self._multiplied(node.output[0])
        if grids is None:
            layer = self.editor.consumers[node.output[0]][0]
            raise GraphError(
                f"{layer.op_type} '{layer.name}' has an int32 bias, but its input or its weight is not int8",
                expected="a Q/DQ graph written by edgeseg",
            )
        return FakeQuantizedBias(_tensor(self._constant(node.input[1])), *grids)

    def _multiplied(self, bias: str) -> tuple[FakeQuantize, FakeQuantize] | None:
        """The grids of input and weight of the layer that adds `bias`; None where they are not int8."""
        layer = self.editor.consumers[bias][0]
        if len(layer.input) < 3 or layer.input[2] != bias:
            return None
        pair, weight = self.shared.pair_of.get(layer.input[0]), self.editor.producer.get(layer.input[1])
        grid = None if weight is None else self.grids.get(weight.input[1])
        return None if pair is None or grid is None else (self.grids[self.shared.root(pair)], grid)

    def _known(self, path: str) -> Tensor | None:
        """The unit of a parameter that is divided by it already."""
        return self.units.get(id(self.module.get_parameter(path)))

    def _unit(self, path: str, name: str) -> Tensor:
        """What a constant without a scale per channel is learned in: the bias of a layer that has such scales
        in its largest products, others in their mean size. The largest of a whole tensor is an outlier."""
        value = self.module.get_parameter(path).detach()
        grids = self._multiplied(name)
        if grids is None or grids[1].axis is None:
            return value.abs().mean()
        source, weight = (grid.start * grid.high for grid in grids)
        return source.max() * weight.repeat(max(1, value.numel() // weight.numel()))

    def _start(self, path: str, transform: Transform, node: NodeProto, levels: Array) -> None:
        """Start a weight from the float graph, where that has the weight the levels were made of."""
        given = self.floats.get(node.input[0].removesuffix(INT8))
        known = given is not None and tuple(given.dims) == levels.shape
        if known:
            value, scale = numpy_helper.to_array(given), self._constant(node.input[1])
            again = quantize_weight(value, scale, _axis(node, levels, scale), self.limit.bit_length() + 1)
            known = bool((np.abs(again.astype(np.int16) - levels) <= 1).all())
            if known:
                with torch.no_grad():
                    self.module.get_parameter(path).copy_(_tensor(TRANSFORMS[transform](value)))
        self.masters[node.input[0]] = known

    def _see_through(
        self, path: str, learned: Learned, constant: str, scale: str, transform: Transform
    ) -> None:
        """Let a parameter hold what is learned instead of the constant."""
        parameter, known = self.module.get_parameter(path), self._known(path)
        if known is None:
            self.units[id(parameter)] = learned.unit
            with torch.no_grad():
                parameter.div_(learned.unit)
        else:
            learned.unit.copy_(known)
        owner, _, name = path.rpartition(".")
        if owner:
            parametrize.register_parametrization(self.module.get_submodule(owner), name, learned, unsafe=True)
            value, place = (f"{owner}.parametrizations.{name}.{part}" for part in ("original", "0"))
        else:
            value, place = path, f"{path}_learned"
            self.module.add_module(place, learned)
            for read in [n for n in self.module.graph.nodes if n.op == "get_attr" and n.target == path]:
                with self.module.graph.inserting_after(read):
                    made = self.module.graph.call_module(place, (read,))
                read.replace_all_uses_with(made, delete_user_cb=lambda user, made=made: user is not made)
        self.stored.append(_Stored(constant, scale, value, place, transform))

    def _constant(self, name: str) -> Array:
        value = self.editor.constant(name)
        if value is None:
            raise GraphError(f"'{name}' is not a constant", expected="scales and zero points as initialisers")
        return value


def _axis(node: NodeProto, levels: Array, scale: Array) -> int | None:
    return None if scale.size == 1 else int(attribute(node, "axis", 1)) % levels.ndim  # type: ignore[call-overload]


def _level_limit(editor: Editor) -> int:
    """Largest |level| of weights, 2^(bits-1) - 1: below 127 in a graph made with fewer bits."""
    stored = [editor.constant(n.input[0]) for n in editor.graph.node if n.op_type == "DequantizeLinear"]
    weights = [s.astype(np.int16) for s in stored if s is not None and s.dtype == np.int8 and s.size]
    largest = max((int(np.abs(w).max()) for w in weights), default=127)
    return min(2 ** largest.bit_length() - 1, 127)


def _tensor(value: Array) -> Tensor:
    return torch.from_numpy(np.array(value, order="C"))


def _overwrite(editor: Editor, name: str, value: Array) -> None:
    """New numbers for an initialiser, in its shape and type."""
    old = editor.initializers.get(name)
    if old is None:
        raise GraphError(f"the graph has no initialiser '{name}'", expected="the graph that was prepared")
    before = numpy_helper.to_array(old)
    old.CopyFrom(numpy_helper.from_array(value.reshape(before.shape).astype(before.dtype), name))
