"""Writing nodes around a network: names, constants, and the forms of operators that opsets disagree on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, helper

from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.core.quantization import ScoreGrid
from edgeseg.core.region import Part
from edgeseg.graph.editor import Editor, opset_of


class Writer:
    """Appends nodes to a list and constants to a graph."""

    def __init__(self, editor: Editor, prefix: str) -> None:
        self.editor = editor
        self.prefix = prefix
        self.nodes: list[NodeProto] = []
        self.opset = opset_of(editor.model)

    def op(self, op_type: str, label: str, inputs: Sequence[str], **attributes: object) -> str:
        """Append a node named `prefix + label`. Returns the name of its output."""
        name = self.editor.unique(self.prefix + label)
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, label: str, value: Array) -> str:
        return self.editor.add_initializer(self.prefix + label, value)

    def integers(self, label: str, values: Sequence[int]) -> str:
        return self.constant(label, np.array(values, np.int64))

    def cast(self, tensor: str, to: int, *, only_from: int | None = None, label: str = "cast") -> str:
        """`tensor` as another type; as it is when it already has it."""
        return tensor if only_from == to else self.op("Cast", label, [tensor], to=to)

    def quantize(self, tensor: str, grid: ScoreGrid) -> str:
        scale = self.constant("score_scale", np.array(grid.scale, np.float32))
        zero_point = self.constant("score_zero_point", np.array(grid.zero_point, np.uint8))
        return self.op("QuantizeLinear", "levels", [tensor, scale, zero_point])

    def cut(self, tensor: str, part: Part, axis: int) -> str:
        """Rows and columns of a tensor whose rows are `axis` and columns the next."""
        bounds = {
            "starts": [side.start for side in part],
            "ends": [side.stop for side in part],
            "axes": [axis, axis + 1],
        }
        limits = [self.integers(f"region_{name}", values) for name, values in bounds.items()]
        return self.op("Slice", "region", [tensor, *limits])

    def bilinear(self, tensor: str, shape: tuple[int, ...], size: Size, label: str) -> str:
        sizes = self.integers(f"{label}_sizes", (*shape[:2], *size))
        return self.op(
            "Resize",
            label,
            [tensor, "", "", sizes],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )

    def nearest(self, tensor: str, old: Size, new: Size) -> str:
        """[N,h,w] to [N,*new] by integer indices: exact in every engine; Resize rounds its positions."""
        for axis, length, out, label in ((2, old[1], new[1], "columns"), (1, old[0], new[0], "rows")):
            if length != out:
                index = (2 * np.arange(out, dtype=np.int64) + 1) * length // (2 * out)
                tensor = self.op("Gather", label, [tensor, self.constant(f"{label}_index", index)], axis=axis)
        return tensor

    def top(self, tensor: str, count: int, label: str) -> tuple[str, str]:
        """The largest of [N,A], falling, and where they stood: [N,count] each."""
        values = self.op("TopK", label, [tensor, self.integers(f"{label}_count", [count])], axis=1)
        index = self.editor.unique(f"{values}_index")
        self.nodes[-1].output.append(index)
        return values, index

    def reduce(self, op_type: str, tensor: str, label: str) -> str:
        """Over axis 1, which is dropped. The axes are an input since opset 13 (ReduceSum) or 18 (others)."""
        if op_type == "ReduceSum" or self.opset >= 18:
            return self.op(op_type, label, [tensor, self.integers(f"{label}_axes", [1])], keepdims=0)
        return self.op(op_type, label, [tensor], axes=[1], keepdims=0)
