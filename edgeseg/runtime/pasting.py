"""Masks on a grid to masks of the frame's size, as torchvision pastes them.

A mask becomes one of the frame by two small products: rows of the frame are interpolated between rows of the
grid, then columns. The same is written as ONNX by `graph/pasting.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.preprocess import Placement, Size

Float = NDArray[np.float32]

PADDED = 1
"""Cells of zero around a mask that lies over a box, on each side: else its border would be cut straight."""
THRESHOLD = 0.5
"""A pixel belongs to a thing from this probability on."""


def over_boxes(masks: Float, boxes: Float, size: Size) -> NDArray[np.bool_]:
    """
    Args:
        masks: float32 [K,h,w], probabilities on a grid over each box.
        boxes: float32 [K,4] in pixels of the frame.
        size: (height, width) of the frame.

    Returns:
        bool [K,*size]; nothing outside the boxes, which are widened to whole pixels.
    """
    result = np.zeros((len(masks), *size), bool)
    corners = whole_pixels(boxes, masks.shape[1:])
    for place, (mask, (left, top, right, bottom)) in enumerate(zip(masks, corners.tolist())):
        rows = _rows(top, bottom, mask.shape[0] + 2 * PADDED, size[0])
        columns = _rows(left, right, mask.shape[1] + 2 * PADDED, size[1])
        inside = slice(PADDED, -PADDED)  # the cells around it are zero, and add nothing
        pasted = rows[1][:, inside] @ mask @ columns[1][:, inside].T
        result[place][rows[0], columns[0]] = pasted > THRESHOLD
    return result


def over_input(masks: Float, boxes: Float, place: Placement) -> NDArray[np.bool_]:
    """
    Args:
        masks: float32 [K,h,w], probabilities on a grid over the whole network input.
        boxes: float32 [K,4] in pixels of the frame; nothing is outside them.
        place: of the frame in the network input.
    """
    result = np.zeros((len(masks), *place.frame), bool)
    rows, columns = grid_weights(place, (masks.shape[1], masks.shape[2]))
    for index, (mask, box) in enumerate(zip(masks, boxes)):
        (left, right), (top, bottom) = (_inside(box[i], box[i + 2], place.frame[1 - i]) for i in (0, 1))
        pasted = rows[top:bottom] @ mask @ columns[left:right].T
        result[index, top:bottom, left:right] = pasted > THRESHOLD
    return result


def grid_weights(place: Placement, grid: Size) -> tuple[Float, Float]:
    """Share of each cell of a grid over the network input in each row, [H,h], and column, [W,w], of a
    frame."""
    found = []
    for frame, scaled, before, whole, cells in zip(
        place.frame, place.scaled, (place.top, place.left), place.input, grid
    ):
        at = ((np.arange(frame) + 0.5) * (scaled / frame) + before) * (cells / whole) - 0.5
        found.append(hats(at, cells))
    return found[0], found[1]


def whole_pixels(boxes: Float, grid: Size) -> NDArray[np.int64]:
    """Boxes [K,4] of masks on a grid, widened by the cells of zero around it, then cut to whole pixels: the
    first and the last that are theirs."""
    height, width = grid
    scale = np.array([(width + 2 * PADDED) / width, (height + 2 * PADDED) / height], np.float32)
    centre = (boxes[:, 2:] + boxes[:, :2]) * np.float32(0.5)
    half = (boxes[:, 2:] - boxes[:, :2]) * np.float32(0.5) * scale
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.int64)


def hats(at: NDArray[Any], cells: int) -> Float:
    """Shares of `cells` in points [P] between their centres, float32 [P,cells]: linear interpolation, and
    the outer cells beyond their centres."""
    inside = np.clip(at, 0, cells - 1).astype(np.float32)
    away = np.abs(inside[:, None] - np.arange(cells, dtype=np.float32))
    return np.asarray(np.maximum(0, 1 - away), np.float32)


def _rows(first: int, last: int, cells: int, size: int) -> tuple[slice, Float]:
    """Which rows of a frame a box covers, and the shares of the cells in each."""
    count = max(1, last - first + 1)
    start, stop = min(max(first, 0), size), min(max(first + count, 0), size)
    at = (np.arange(start, stop) - first + 0.5) * (cells / count) - 0.5
    return slice(start, stop), hats(at, cells)


def _inside(first: float, last: float, size: int) -> tuple[int, int]:
    """Pixels whose centres lie in [first, last)."""
    start, stop = (int(np.clip(np.ceil(edge - 0.5), 0, size)) for edge in (first, last))
    return start, stop
