"""The best of many boxes, in fixed shapes: greedy NMS as products with a matrix, iterated to its fixed point.

What `models/detection/nms.py` writes in PyTorch, as ONNX, for files that come without it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from edgeseg.core.instances import InstanceOutputs
from edgeseg.graph.writer import Writer

CANDIDATES = 300
"""Best rows that take part in NMS: TensorRT's TopK takes fewer than 3840."""
ROUNDS = 16
SMALLEST_UNION = 1e-12


class Found(NamedTuple):
    """Names of what a network found: `boxes` [N,A,4], `scores` [N,A], `labels` [N,A] and `data` [N,A,width]
    of each."""

    boxes: str
    scores: str
    labels: str
    data: str
    rows: int
    width: int


class Chosen(NamedTuple):
    """Names of the same for K rows, zero from `total`, int32 [N], on; `taken`: float [N,K,1], 1 before.
    `unsettled`: int32 [N], boxes that the last round of NMS changed."""

    boxes: str
    scores: str
    labels: str
    data: str
    taken: str
    total: str
    unsettled: str


def chosen(write: Writer, found: Found, told: InstanceOutputs, batch: int) -> Chosen:
    """The `told.kept` best of those above the score, after NMS where one is stated."""
    unsettled = ""
    if told.nms_threshold is not None:
        found = _best(write, found, min(found.rows, CANDIDATES), batch, "candidate")
    above = write.op("Greater", "above", [found.scores, _number(write, "score", told.score_threshold)])
    if told.nms_threshold is not None:
        above, unsettled = _kept(write, found, above, told.nms_threshold)
    scores = write.op("Where", "scores_above", [above, found.scores, _number(write, "none", -1.0)])
    found = _best(write, found._replace(scores=scores), told.kept, batch, "kept")
    there = write.op("Greater", "there", [found.scores, _number(write, "nothing", 0.0)])
    whole = write.op("Cast", "there_int", [there], to=TensorProto.INT32)
    real = write.op("Cast", "there_float", [there], to=TensorProto.FLOAT)
    taken = write.op("Unsqueeze", "taken", [real, write.integers("last_axis", [2])])
    count = write.reduce("ReduceSum", whole, "count")
    zero = write.op("Sub", "settled", [count, count])
    return Chosen(
        write.op("Mul", "counted_boxes", [found.boxes, taken]),
        write.op("Mul", "counted_scores", [found.scores, real]),
        write.op("Mul", "counted_labels", [found.labels, whole]),
        found.data,
        taken,
        count,
        unsettled or zero,
    )


def _best(write: Writer, found: Found, count: int, batch: int, label: str) -> Found:
    """The rows with the highest scores, in order."""
    scores, index = write.top(found.scores, count, f"{label}_scores")
    labels = write.op("GatherElements", f"{label}_labels", [found.labels, index], axis=1)
    column = write.op("Unsqueeze", f"{label}_column", [index, write.integers(f"{label}_axis", [2])])

    def picked(name: str, rows: str, width: int) -> str:
        shape = write.integers(f"{label}_{name}_shape", (batch, count, width))
        spread = write.op("Expand", f"{label}_{name}_index", [column, shape])
        return write.op("GatherElements", f"{label}_{name}", [rows, spread], axis=1)

    boxes, data = picked("boxes", found.boxes, 4), picked("data", found.data, found.width)
    return Found(boxes, scores, labels, data, count, found.width)


def _kept(write: Writer, found: Found, above: str, threshold: float) -> tuple[str, str]:
    """Which candidates greedy NMS keeps, class by class, bool [N,A], and what its last round changed."""
    earlier = np.triu(np.ones((found.rows, found.rows), bool), 1)[None]
    over = write.op("Greater", "over", [_overlaps(write, found.boxes), _number(write, "nms", threshold)])
    first = write.op("Unsqueeze", "label_rows", [found.labels, write.integers("label_row_axis", [2])])
    second = write.op("Unsqueeze", "label_columns", [found.labels, write.integers("label_column_axis", [1])])
    same = write.op("Equal", "same_class", [first, second])
    over = write.op("And", "over_same", [over, same])
    over = write.op("And", "over_later", [over, write.constant("earlier", earlier)])
    matrix = write.op("Cast", "suppresses", [over], to=TensorProto.FLOAT)
    alive = write.op("Cast", "alive_float", [above], to=TensorProto.FLOAT)
    alive = write.op("Unsqueeze", "alive", [alive, write.integers("alive_axis", [1])])
    half = _number(write, "half", 0.5)
    now = before = alive
    for turn in range(ROUNDS):
        hit = write.op("MatMul", f"hit_{turn}", [now, matrix])
        free = write.op("Less", f"free_{turn}", [hit, half])
        free = write.op("Cast", f"free_float_{turn}", [free], to=TensorProto.FLOAT)
        before, now = now, write.op("Mul", f"round_{turn}", [alive, free])
    flat = write.integers("kept_axis", [1])
    moved = write.op("Abs", "moved", [write.op("Sub", "last_change", [now, before])])
    moved = write.op("Squeeze", "moved_rows", [moved, flat])
    moved = write.op("Cast", "moved_int", [moved], to=TensorProto.INT32)
    kept = write.op("Squeeze", "kept_rows", [now, flat])
    return write.op("Greater", "kept", [kept, half]), write.reduce("ReduceSum", moved, "unsettled")


def _overlaps(write: Writer, boxes: str) -> str:
    """Intersection over union of all pairs, [N,A,A]."""
    sides, corners = [], []
    for axis, name in enumerate("xy"):
        ends = []
        for index in (axis, axis + 2):
            taken = write.integers(f"{name}{index}_index", [index])
            column = write.op("Gather", f"{name}{index}", [boxes, taken], axis=2)
            ends.append((column, write.op("Transpose", f"{name}{index}_row", [column], perm=[0, 2, 1])))
        (first, first_row), (last, last_row) = ends
        right = write.op("Min", f"{name}_least", [last, last_row])
        left = write.op("Max", f"{name}_most", [first, first_row])
        corners.append(write.op("Relu", f"{name}_common", [write.op("Sub", f"{name}_gap", [right, left])]))
        sides.append(write.op("Sub", f"{name}_side", [last, first]))
    common = write.op("Mul", "common", corners)
    area = write.op("Mul", "area", sides)
    areas = write.op("Add", "areas", [area, write.op("Transpose", "area_row", [area], perm=[0, 2, 1])])
    union = write.op("Sub", "union", [areas, common])
    union = write.op("Max", "some_union", [union, _number(write, "least_union", SMALLEST_UNION)])
    return write.op("Div", "overlap", [common, union])


def _number(write: Writer, label: str, value: float) -> str:
    return write.constant(label, np.array(value, np.float32))
