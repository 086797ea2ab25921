"""A user's own ONNX file that finds things: recognised by its outputs, and brought to those of the house.

Three layouts are known:

- `things`: outputs named `boxes` [N,K,4], `scores` [N,K], `labels` [N,K] and `masks` [N,K,h,w], the boxes in
  pixels of the input; the axis N may be missing, masks may have an axis of one channel.
- `candidates` (YOLO-seg): [N,4+C+M,A] with centre, size, scores of C classes and M coefficients of A
  candidates, and prototypes [N,M,h,w] of the whole input. NMS is added.
- `ranked` (YOLO-seg with a one-to-one head): [N,K,6+M] with corners, score, class and M coefficients, and
  prototypes. Nothing is suppressed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from onnx import ModelProto, TensorProto, helper

from edgeseg.core.instances import InstanceOutputs
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Size
from edgeseg.errors import GraphError
from edgeseg.graph.editor import Editor, shape_of
from edgeseg.graph.shapes import with_shapes
from edgeseg.graph.suppression import Found, chosen
from edgeseg.graph.writer import Writer
from edgeseg.runtime.score_map import covers
from edgeseg.runtime.tasks.instance import BOXES, COUNT, LABELS, MASKS, OUTPUTS, SCORES, UNSETTLED

MOST = 100
"""Things that are kept of a layout with coefficients."""
OVERLAP, SCORE = 0.7, 0.05
EXPECTED = (
    "boxes [N,K,4], scores [N,K], labels [N,K] and masks [N,K,h,w]; or rows [N,4+C+M,A] or [N,K,6+M] with "
    "prototypes [N,M,h,w]; all of fixed shapes"
)


class Layout(NamedTuple):
    """
    Attributes:
        kind: as above; `rows`, `prototypes`: names of the outputs of the last two.
        classes: how many the file tells; None: it does not.
        coefficients: of a thing; 0: it has a mask.
    """

    kind: Literal["things", "candidates", "ranked"]
    rows: str = ""
    prototypes: str = ""
    classes: int | None = None
    coefficients: int = 0


def layout_of(model: ModelProto) -> Layout | None:
    """None: it returns no things that are known.

    Args:
        model: static.
    """
    shapes = _shapes(model)
    if {BOXES, SCORES, LABELS, MASKS} <= set(shapes):
        return Layout("things")
    maps = [name for name, shape in shapes.items() if len(shape) == 4]
    rows = [name for name, shape in shapes.items() if len(shape) == 3]
    if len(maps) != 1 or len(rows) != 1:
        return None
    coefficients, (_, high, wide) = int(shapes[maps[0]][1]), map(int, shapes[rows[0]])
    if wide == 6 + coefficients:
        return Layout("ranked", rows[0], maps[0], None, coefficients)
    if high > 4 + coefficients:
        return Layout("candidates", rows[0], maps[0], high - 4 - coefficients, coefficients)
    return None


def instance_contract(
    model: ModelProto, wanted: Postprocess, layout: Layout | None
) -> tuple[Postprocess, tuple[str, ...]]:
    """`wanted`, with what the network returns, and what was assumed, one sentence each.

    Raises:
        GraphError: it returns nothing that is known.
    """
    if layout is None:
        raise GraphError(f"the network returns {_listing(_shapes(model))}", expected=EXPECTED)
    told = described(model, layout)
    how = "nothing is suppressed" if told.nms_threshold is None else f"NMS at {told.nms_threshold} is added"
    note = f"it finds things ({layout.kind}): the best {told.kept} of a score above {SCORE} are kept, {how}"
    return msgspec.structs.replace(wanted, instances=told), (note,)


def described(model: ModelProto, layout: Layout) -> InstanceOutputs:
    """What `with_standard_outputs` makes of it.

    Raises:
        GraphError: outputs that do not belong together.
    """
    shapes = _shapes(model)
    height, width = shapes[layout.prototypes or MASKS][-2:]
    mask = (int(height), int(width))
    if layout.kind == "things":
        over: Literal["image", "box"] = "image" if covers(mask, _size(model)) else "box"
        kept = int(shapes[SCORES][-1])
        ends = {BOXES: (kept, 4), LABELS: (kept,)}
        if any(shapes[name][-len(end) :] != end for name, end in ends.items()):
            raise GraphError(f"the network returns {_listing(shapes)}", expected=EXPECTED)
        return InstanceOutputs(kept=kept, mask_size=mask, mask_over=over, score_threshold=SCORE)
    ranked = layout.kind == "ranked"
    return InstanceOutputs(
        kept=min(MOST, int(shapes[layout.rows][1 if ranked else 2])),
        mask_size=mask,
        mask_over="image",
        score_threshold=SCORE,
        nms_threshold=None if ranked else OVERLAP,
    )


def with_standard_outputs(model: ModelProto, told: InstanceOutputs, first_label: int = 0) -> ModelProto:
    """The network with the outputs of a network of instances, sorted by falling score.

    Args:
        model: static, of a layout that is known, or with these outputs already.
        told: as `described` gives it.
        first_label: the number of the first class in its own labels.

    Raises:
        GraphError: it returns nothing that is known.
    """
    if {output.name for output in model.graph.output} == set(OUTPUTS):
        return model
    layout = layout_of(model)
    if layout is None:
        shapes = _shapes(model)
        raise GraphError(f"the network returns {_listing(shapes)}", expected=EXPECTED)
    editor = Editor(model)
    write = Writer(editor, "things/")
    batch = int(shape_of(model.graph.input[0])[0])
    own = {name: editor.rename(name, f"{name}/own") for name in (o.name for o in editor.graph.output)}
    if layout.kind == "things":
        found = _things(write, own, told, batch)
    else:
        found = _rows(write, own[layout.rows], layout, model, batch)
    height, width = _size(model)
    limit = np.array([width, height] * 2, np.float32)
    boxes = write.op("Max", "not_before", [found.boxes, write.constant("zero", np.zeros(4, np.float32))])
    boxes = write.op("Min", "not_beyond", [boxes, write.constant("limit", limit)])
    labels = write.op("Cast", "labels", [found.labels], to=TensorProto.INT32)
    labels = write.op("Sub", "from_zero", [labels, write.constant("first", np.array(first_label, np.int32))])
    made = chosen(write, found._replace(boxes=boxes, labels=labels), told, batch)
    masks = made.data
    if layout.coefficients:
        masks = _combined(write, masks, own[layout.prototypes], layout, told, batch)
    masks = write.op("Mul", "counted_masks", [masks, made.taken])
    results = {
        BOXES: (made.boxes, TensorProto.FLOAT, (batch, told.kept, 4)),
        SCORES: (made.scores, TensorProto.FLOAT, (batch, told.kept)),
        LABELS: (made.labels, TensorProto.INT32, (batch, told.kept)),
        MASKS: (masks, TensorProto.FLOAT, (batch, told.kept, *told.mask_size)),
        COUNT: (made.total, TensorProto.INT32, (batch,)),
        UNSETTLED: (made.unsettled, TensorProto.INT32, (batch,)),
    }
    del editor.graph.output[:]
    for name, (tensor, kind, shape) in results.items():
        write.op("Reshape", f"as_{name}", [tensor, write.integers(f"{name}_shape", shape)])
        write.nodes[-1].output[0] = name
        editor.graph.output.append(helper.make_tensor_value_info(name, kind, shape))
    editor.keep_nodes([*editor.graph.node, *write.nodes])
    return with_shapes(editor.finish())


def _things(write: Writer, own: dict[str, str], told: InstanceOutputs, batch: int) -> Found:
    shapes = {BOXES: (batch, told.kept, 4), SCORES: (batch, told.kept), LABELS: (batch, told.kept)}
    shapes[MASKS] = (batch, told.kept, math.prod(told.mask_size))
    rows = {
        name: write.op("Reshape", f"own_{name}", [own[name], write.integers(f"own_{name}_shape", shape)])
        for name, shape in shapes.items()
    }
    return Found(rows[BOXES], rows[SCORES], rows[LABELS], rows[MASKS], told.kept, shapes[MASKS][2])


def _rows(write: Writer, rows: str, layout: Layout, model: ModelProto, batch: int) -> Found:
    """The columns of rows [N,A,...], which stand in columns where they are candidates."""
    shape = next(shape_of(o) for o in model.graph.output if o.name == layout.rows)
    count = int(shape[1 if layout.kind == "ranked" else 2])
    lying = rows
    if layout.kind == "candidates":
        rows = write.op("Transpose", "rows", [rows], perm=[0, 2, 1])

    def columns(label: str, start: int, stop: int) -> str:
        limits = {"starts": [start], "ends": [stop], "axes": [2]}
        bounds = [write.integers(f"{label}_{name}", value) for name, value in limits.items()]
        return write.op("Slice", label, [rows, *bounds])

    def flat(label: str, tensor: str) -> str:
        return write.op("Reshape", f"{label}_flat", [tensor, write.integers(f"{label}_two", (batch, count))])

    if layout.kind == "ranked":
        boxes = columns("corners", 0, 4)
        scores, labels = (flat(name, columns(name, at, at + 1)) for name, at in (("score", 4), ("class", 5)))
        data = columns("coefficients", 6, 6 + layout.coefficients)
        return Found(boxes, scores, labels, data, count, layout.coefficients)
    assert layout.classes is not None
    bounds = {"starts": 4, "ends": 4 + layout.classes, "axes": 1}
    half = write.op(
        "Mul", "half", [columns("sides", 2, 4), write.constant("a_half", np.array(0.5, np.float32))]
    )
    centre = columns("centre", 0, 2)
    ends = [write.op("Sub", "first_corner", [centre, half]), write.op("Add", "last_corner", [centre, half])]
    boxes = write.op("Concat", "corners", ends, axis=2)
    limits = (write.integers(f"class_{name}", [value]) for name, value in bounds.items())
    each = write.op("Slice", "class_scores", [lying, *limits])
    labels = write.op("ArgMax", "best_class", [each], axis=1, keepdims=0)
    data = columns("coefficients", 4 + layout.classes, 4 + layout.classes + layout.coefficients)
    return Found(boxes, write.reduce("ReduceMax", each, "best"), labels, data, count, layout.coefficients)


def _combined(
    write: Writer, data: str, prototypes: str, layout: Layout, told: InstanceOutputs, batch: int
) -> str:
    """Probabilities [N,K,h*w] from coefficients [N,K,M] and prototypes."""
    shape = (batch, layout.coefficients, math.prod(told.mask_size))
    flat = write.op("Reshape", "prototypes", [prototypes, write.integers("prototypes_shape", shape)])
    return write.op("Sigmoid", "probabilities", [write.op("MatMul", "combined", [data, flat])])


def _size(model: ModelProto) -> Size:
    height, width = shape_of(model.graph.input[0])[2:]
    return int(height), int(width)


def _shapes(model: ModelProto) -> dict[str, tuple[int | str, ...]]:
    return {output.name: shape_of(output) for output in model.graph.output}


def _listing(shapes: Mapping[str, Sequence[int | str]]) -> str:
    return ", ".join(f"'{name}' {list(shape)}" for name, shape in shapes.items())
