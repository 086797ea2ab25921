"""RoiAlign as GridSample and AveragePool, for engines that have no RoiAlign or only a plug-in for it.

The rules are those of ONNX and torchvision: a sample point up to one cell before the map counts as on its
first cell, one behind the centre of the last cell as on the last cell, one farther out counts zero; a box is
at least one cell wide and high, unless coordinates are of half pixels.

Where nodes of the same boxes are joined by Where, one per level of a pyramid, the levels come to lie below
each other in one map, and each box is sampled once, in its own level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto

from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.graph.editor import Editor, attribute
from edgeseg.graph.opsets import from_opset, to_opset
from edgeseg.graph.shapes import static_shapes, with_shapes
from edgeseg.graph.writer import Writer

OPSETS = (16, 19)
"""The first with GridSample, the last before its modes were renamed."""
OUTSIDE = -4.0
"""In the coordinates of GridSample, where the map is [-1, 1]: no tap is on the map."""
_MOVES = ("Cast", "Squeeze", "Unsqueeze", "Reshape", "Identity")


class _Pooling(NamedTuple):
    """What RoiAlign nodes must share to become one.

    Attributes:
        boxes: tensor float32 [R,4].
        images: tensor int64 [R].
        out: height and width of what is pooled from a box.
        ratio: samples per bin and axis.
        half_pixel: coordinates are shifted by half a cell, and boxes may be thinner than one.
    """

    boxes: str
    images: str
    out: Size
    ratio: int
    half_pixel: bool


class _Choice(NamedTuple):
    """A Where of two levels, each a RoiAlign or another choice."""

    node: NodeProto
    yes: NodeProto | _Choice
    no: NodeProto | _Choice


def sample_roi_align(model: ModelProto) -> ModelProto:
    """Rewrite every RoiAlign where it is exact: averages of a fixed number of samples, and boxes that belong
    to the images in turn, as many to each. Other nodes stay.

    Args:
        model: static and simplified.

    Returns:
        The model, of an opset in OPSETS where a node was rewritten.
    """
    if not any(_pooling(node) for node in model.graph.node):
        return model
    rewriting = _Rewriting(to_opset(from_opset(model, OPSETS[0]), OPSETS[1]))
    return rewriting.result()


class _Rewriting:
    def __init__(self, model: ModelProto) -> None:
        self.editor = Editor(model)
        self.shapes = static_shapes(model)
        self.place = {node.output[0]: i for i, node in enumerate(self.editor.graph.node)}

    def result(self) -> ModelProto:
        nodes = list(self.editor.graph.node)
        made: dict[int, list[NodeProto]] = {}
        gone: set[int] = set()
        for index in reversed(range(len(nodes))):
            choice = None if index in gone else self._choice(nodes[index])
            if choice is None or not self._is_regular(_leaves(choice)[0]):
                continue
            members = [self.place[node.output[0]] for node in _members(choice)]
            if not gone.intersection(members):
                gone.update(members)
                made[index] = self._sampled(nodes[index].output[0], choice)
        kept = [
            part
            for index, node in enumerate(nodes)
            for part in made.get(index, [] if index in gone else [node])
        ]
        self.editor.keep_nodes(kept)
        return with_shapes(self.editor.finish())

    def _choice(self, node: NodeProto) -> NodeProto | _Choice | None:
        """A node as RoiAlign or as choice between some of one pooling; None where it is neither."""
        if node.op_type != "Where":
            return node if _pooling(node) and node.input[0] in self.shapes else None
        sides = [self.editor.producer.get(name) for name in node.input[1:]]
        found = [self._choice(s) if s is not None and self._only(s, node) else None for s in sides]
        yes, no = found
        if yes is None or no is None:
            return None
        rows = self.shapes.get(node.output[0], ())[:1]
        if self.shapes.get(node.input[0]) != (*rows, 1, 1, 1):
            return None
        same = {_pooling(leaf) for leaf in (*_leaves(yes), *_leaves(no))}
        return _Choice(node, yes, no) if len(same) == 1 else None

    def _only(self, node: NodeProto, reader: NodeProto) -> bool:
        return self.editor.only_consumer(node.output[0]) is reader

    def _is_regular(self, leaf: NodeProto) -> bool:
        """Boxes [N*K] of N images are those of the first image, then those of the next."""
        images, rows = self.shapes[leaf.input[0]][0], self.shapes.get(leaf.input[1], (0,))[0]
        if images == 1:
            return rows > 0
        index = _known(self.editor, leaf.input[2])
        return (
            index is not None
            and rows % images == 0
            and np.array_equal(index.reshape(-1), np.arange(images).repeat(rows // images))
        )

    def _sampled(self, output: str, choice: NodeProto | _Choice) -> list[NodeProto]:
        """The nodes that write `output`."""
        leaves = list({leaf.output[0]: leaf for leaf in _leaves(choice)}.values())
        pooling = _pooling(leaves[0])
        assert pooling is not None
        write = Writer(self.editor, f"{output}/")
        maps = [self.shapes[leaf.input[0]] for leaf in leaves]
        images, channels = maps[0][:2]
        each = self.shapes[pooling.boxes][0] // images
        height, width = sum(m[2] for m in maps), max(m[3] for m in maps)
        tops = np.cumsum([0, *(m[2] for m in maps)])
        rows = {
            leaf.output[0]: np.array([[_scale(leaf), top, m[2], m[3]]], np.float32)
            for leaf, top, m in zip(leaves, tops, maps)
        }
        grid = self._grid(write, pooling, self._placed(write, choice, rows), (height, width))
        (high, wide), ratio = pooling.out, pooling.ratio
        grid = _reshaped(write, "grid", grid, (images, each * high * ratio, wide * ratio, 2))
        atlas = self._atlas(write, [leaf.input[0] for leaf in leaves], width)
        result = write.op("GridSample", "samples", [atlas, grid], mode="bilinear", align_corners=1)
        if ratio > 1:
            sides = [ratio, ratio]
            result = write.op("AveragePool", "means", [result], kernel_shape=sides, strides=sides)
        if each > 1:
            result = _reshaped(write, "apart", result, (images, channels, each, high, wide))
            result = write.op("Transpose", "boxes_first", [result], perm=[0, 2, 1, 3, 4])
        result = _reshaped(write, "pooled", result, (images * each, channels, high, wide))
        write.nodes[-1].output[0] = output
        return write.nodes

    def _placed(self, write: Writer, choice: NodeProto | _Choice, rows: dict[str, Array]) -> str:
        """float32 [R,4] or [1,4]: cells per pixel, first row, height and width of each box's level."""
        if isinstance(choice, NodeProto):
            return write.constant("level", rows[choice.output[0]])
        yes, no = (self._placed(write, side, rows) for side in (choice.yes, choice.no))
        count = self.shapes[choice.node.input[0]][0]
        wanted = _reshaped(write, "wanted", choice.node.input[0], (count, 1))
        return write.op("Where", "chosen", [wanted, yes, no])

    def _atlas(self, write: Writer, maps: Sequence[str], width: int) -> str:
        padded = []
        for name in maps:
            missing = width - self.shapes[name][3]
            sides = write.integers("sides", [0] * 7 + [missing]) if missing else ""
            padded.append(write.op("Pad", "as_wide", [name, sides], mode="constant") if missing else name)
        return write.op("Concat", "atlas", padded, axis=2) if len(padded) > 1 else padded[0]

    def _grid(self, write: Writer, pooling: _Pooling, level: str, atlas: Size) -> str:
        """float32 [R, rows of samples, columns of samples, 2]."""
        scale, top, height, width = _columns(write, "level", level)
        boxes = write.op("Mul", "in_cells", [pooling.boxes, scale])
        if pooling.half_pixel:
            boxes = write.op("Sub", "half_a_cell", [boxes, _number(write, 0.5)])
        left, upper, right, lower = _columns(write, "box", boxes)
        (high, wide), ratio, count = pooling.out, pooling.ratio, self.shapes[pooling.boxes][0]
        x = self._points(write, pooling, left, right, wide * ratio)
        y = self._points(write, pooling, upper, lower, high * ratio)
        x = _on_map(write, x, width, "", atlas[1])
        y = _on_map(write, y, height, top, atlas[0])
        whole = write.integers("whole", (count, high * ratio, wide * ratio, 1))
        x = write.op("Expand", "x", [_reshaped(write, "across", x, (count, 1, wide * ratio, 1)), whole])
        y = write.op("Expand", "y", [_reshaped(write, "down", y, (count, high * ratio, 1, 1)), whole])
        return write.op("Concat", "points", [x, y], axis=3)

    def _points(self, write: Writer, pooling: _Pooling, start: str, end: str, count: int) -> str:
        """Sample points of each box along one axis in cells of its level, [R,count]."""
        extent = write.op("Sub", "extent", [end, start])
        if not pooling.half_pixel:
            extent = write.op("Max", "one_cell", [extent, _number(write, 1)])
        steps = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / np.float32(count)
        inside = write.op("Mul", "inside", [extent, write.constant("steps", steps[None])])
        return write.op("Add", "in_level", [start, inside])


def _on_map(write: Writer, points: str, cells: str, first: str, whole: int) -> str:
    """From cells of a level to the coordinates of GridSample with align_corners in the whole map of `whole`
    cells, of which `first` is the level's first."""
    far = write.op(
        "Or",
        "outside",
        [
            write.op("Less", "before", [points, _number(write, -1)]),
            write.op("Greater", "behind", [points, cells]),
        ],
    )
    last = write.op("Sub", "last", [cells, _number(write, 1)])
    points = write.op("Min", "not_behind", [write.op("Max", "not_before", [points, _number(write, 0)]), last])
    if first:
        points = write.op("Add", "from_top", [points, first])
    # A map of one cell has only the coordinate -1.
    points = write.op("Mul", "of_map", [points, _number(write, 2 / max(whole - 1, 1))])
    points = write.op("Sub", "centred", [points, _number(write, 1)])
    return write.op("Where", "point", [far, _number(write, OUTSIDE), points])


def _columns(write: Writer, label: str, rows: str) -> list[str]:
    """The columns of [R,4], each [R,1]."""
    axis = write.integers("axis", [1])
    return [
        write.op("Slice", label, [rows, write.integers("start", [i]), write.integers("end", [i + 1]), axis])
        for i in range(4)
    ]


def _reshaped(write: Writer, label: str, tensor: str, shape: tuple[int, ...]) -> str:
    return write.op("Reshape", label, [tensor, write.integers(f"{label}_shape", shape)])


def _number(write: Writer, value: float) -> str:
    return write.constant("number", np.array(value, np.float32))


def _scale(node: NodeProto) -> float:
    return float(attribute(node, "spatial_scale", 1.0))  # type: ignore[arg-type]


def _pooling(node: NodeProto) -> _Pooling | None:
    """None for what is no RoiAlign, or one that cannot be rewritten."""
    if node.op_type != "RoiAlign" or node.domain:
        return None
    ratio = int(attribute(node, "sampling_ratio", 0))  # type: ignore[call-overload]
    if ratio < 1 or attribute(node, "mode", b"avg") not in (b"avg", "avg"):
        return None
    high, wide = (int(attribute(node, f"output_{side}", 1)) for side in ("height", "width"))  # type: ignore[call-overload]
    shift = attribute(node, "coordinate_transformation_mode", b"half_pixel")
    return _Pooling(node.input[1], node.input[2], (high, wide), ratio, shift == b"half_pixel")


def _leaves(choice: NodeProto | _Choice) -> list[NodeProto]:
    return [node for node in _members(choice) if node.op_type == "RoiAlign"]


def _members(choice: NodeProto | _Choice) -> Iterator[NodeProto]:
    if isinstance(choice, NodeProto):
        yield choice
    else:
        yield choice.node
        yield from _members(choice.yes)
        yield from _members(choice.no)


def _known(editor: Editor, name: str) -> Array | None:
    """Values of a tensor that is constant, or a column of a Concat in which that column is."""
    value = editor.constant(name)
    node = editor.producer.get(name)
    if value is not None or node is None:
        return value
    if node.op_type in _MOVES:
        return _known(editor, node.input[0])
    joined = editor.producer.get(node.input[0]) if node.op_type == "Slice" else None
    if joined is None or joined.op_type != "Concat" or attribute(joined, "axis") != 1:
        return None
    bounds = [editor.constant(name) for name in node.input[1:]]
    first = editor.constant(joined.input[0])
    if first is None or any(b is None or b.size != 1 for b in bounds) or len(bounds) < 3:
        return None
    start, end, axis, *step = (int(b.reshape(-1)[0]) for b in bounds if b is not None)
    if axis != 1 or step not in ([], [1]) or not 0 <= start < end <= first.shape[1]:
        return None
    return first[:, start:end]
