"""Masks on a grid to masks of the frame's size, in the engine: `runtime/pasting.py` as ONNX.

Two products per thing, by shares of the cells in each row and column of the frame: no operator but MatMul and
what is done elementwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.preprocess import Placement
from edgeseg.graph.writer import Writer
from edgeseg.runtime.pasting import PADDED, THRESHOLD, grid_weights
from edgeseg.runtime.tasks.instance import told_by


def paste(
    write: Writer, masks: str, boxes: str, count: str, shape: Sequence[int], spec: ModelSpec, place: Placement
) -> str:
    """uint8 [N,K,H,W], 1 where a thing is.

    Args:
        masks: [N,K,h,w]; `boxes`: [N,K,4] in pixels of the frame; `count`: int32 [N].
        shape: of the result.
    """
    told, (height, width) = told_by(spec), place.frame
    rows, columns = told.mask_size
    if told.mask_over == "box":
        high = _shares(write, boxes, 1, height, rows, "rows")
        wide = _shares(write, boxes, 0, width, columns, "columns")
        wide = write.op("Transpose", "columns_last", [wide], perm=[0, 1, 3, 2])
    else:
        shares = grid_weights(place, told.mask_size)
        high = write.constant("row_shares", shares[0])
        wide = write.constant("column_shares", np.ascontiguousarray(shares[1].T))
    pasted = write.op("MatMul", "paste_rows", [high, masks])
    pasted = write.op("MatMul", "paste_columns", [pasted, wide])
    above = write.op("Greater", "in_mask", [pasted, _number(write, "mask_threshold", THRESHOLD)])
    if told.mask_over == "image":
        above = _cut(write, above, boxes, place)
    number = write.constant("mask_rows", np.arange(shape[1], dtype=np.int32)[None, :, None, None])
    counted = write.op("Reshape", "masks_counted", [count, write.integers("masks_count", (-1, 1, 1, 1))])
    there = write.op("Less", "mask_there", [number, counted])
    kept = write.op("And", "mask_kept", [above, there])
    return write.op("Cast", "mask_bytes", [kept], to=TensorProto.UINT8)


def _shares(write: Writer, boxes: str, axis: int, size: int, cells: int, label: str) -> str:
    """As `runtime.pasting` has them for one thing: [N,K,size,cells], zero outside the box.

    Args:
        axis: 0: of x, 1: of y.
    """
    padded = cells + 2 * PADDED
    first, last = (_edge(write, boxes, i, f"{label}_{i}") for i in (axis, axis + 2))
    half = _number(write, f"{label}_half", 0.5)
    sums = write.op("Add", f"{label}_sum", [first, last])
    centre = write.op("Mul", f"{label}_centre", [sums, half])
    side = write.op("Sub", f"{label}_side", [last, first])
    reach = write.op("Mul", f"{label}_half_side", [side, half])
    reach = write.op("Mul", f"{label}_reach", [reach, _number(write, f"{label}_wider", padded / cells)])
    start = _truncated(write, write.op("Sub", f"{label}_before", [centre, reach]), f"{label}_start")
    end = _truncated(write, write.op("Add", f"{label}_behind", [centre, reach]), f"{label}_end")
    one = _number(write, f"{label}_one", 1.0)
    count = write.op("Add", f"{label}_count", [write.op("Sub", f"{label}_span", [end, start]), one])
    pixels = write.constant(f"{label}_pixels", np.arange(size, dtype=np.float32).reshape(1, 1, -1, 1))
    place = write.op("Sub", f"{label}_place", [pixels, start])
    middle = write.op("Add", f"{label}_middle", [place, half])
    per = write.op("Div", f"{label}_per", [_number(write, f"{label}_cells", padded), count])
    at = write.op("Sub", f"{label}_at", [write.op("Mul", f"{label}_scaled", [middle, per]), half])
    at = write.op("Max", f"{label}_low", [at, _number(write, f"{label}_zero", 0.0)])
    at = write.op("Min", f"{label}_high", [at, _number(write, f"{label}_top", padded - 1)])
    inside = np.arange(PADDED, PADDED + cells, dtype=np.float32).reshape(1, 1, 1, -1)
    away = write.op("Sub", f"{label}_away", [at, write.constant(f"{label}_centres", inside)])
    share = write.op("Sub", f"{label}_hat", [one, write.op("Abs", f"{label}_distance", [away])])
    share = write.op("Relu", f"{label}_share", [share])
    after = write.op("GreaterOrEqual", f"{label}_after", [pixels, start])
    until = write.op("LessOrEqual", f"{label}_until", [pixels, end])
    within = write.op("And", f"{label}_within", [after, until])
    return write.op("Where", label, [within, share, _number(write, f"{label}_none", 0.0)])


def _cut(write: Writer, above: str, boxes: str, place: Placement) -> str:
    """Only pixels whose centres lie in their box."""
    for axis, size in ((0, place.frame[1]), (1, place.frame[0])):
        label = "xy"[axis]
        shape = (1, 1, 1, size) if axis == 0 else (1, 1, size, 1)
        centres = (np.arange(size, dtype=np.float32) + 0.5).reshape(shape)
        pixels = write.constant(f"{label}_centres", centres)
        first, last = (_edge(write, boxes, i, f"{label}_{i}") for i in (axis, axis + 2))
        after = write.op("GreaterOrEqual", f"{label}_after", [pixels, first])
        before = write.op("Less", f"{label}_before", [pixels, last])
        within = write.op("And", f"{label}_within", [after, before])
        above = write.op("And", f"{label}_cut", [above, within])
    return above


def _edge(write: Writer, boxes: str, index: int, label: str) -> str:
    """One number of each box, [N,K,1,1]."""
    taken = write.op("Gather", f"{label}_edge", [boxes, write.integers(f"{label}_index", [index])], axis=2)
    axes = write.integers(f"{label}_axes", [3])
    return write.op("Unsqueeze", f"{label}_edges", [taken, axes])


def _truncated(write: Writer, values: str, label: str) -> str:
    """To whole numbers towards zero: boxes begin in the frame, so only those widened over its border are
    negative."""
    whole = write.op("Floor", f"{label}_whole", [write.op("Abs", f"{label}_size", [values])])
    return write.op("Mul", label, [whole, write.op("Sign", f"{label}_sign", [values])])


def _number(write: Writer, label: str, value: float) -> str:
    return write.constant(label, np.array(value, np.float32))
