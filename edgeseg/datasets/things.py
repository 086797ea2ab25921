"""Things of an image from their masks, and what becomes of them where the image is cut or resized."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.instances import Instances
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.errors import DataError
from edgeseg.runtime.resize import nearest

MOST_BYTES = 4 << 30
"""Of the masks of one image."""


def things_of(
    masks: NDArray[np.bool_], labels: Sequence[int] | Array, *, crowd: Array | None = None
) -> Instances:
    """The things of a label, with the boxes of their masks.

    Args:
        masks: bool [K,H,W]; labels: [K], class ids from 0.
        crowd: bool [K], see `Instances`.
    """
    ids = np.asarray(labels, np.int32).reshape(-1)
    return Instances(boxes_of(masks), ids, np.ones(len(ids), np.float32), masks, crowd)


def boxes_of(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The smallest boxes that hold the masks bool [K,H,W]: float32 [K,4], x0, y0, x1, y1 in pixels, the ends
    behind the last pixel; zeros for a mask without a pixel.

    >>> boxes_of(np.array([[[0, 0, 0], [0, 1, 1]]], bool))
    array([[1., 1., 3., 2.]], dtype=float32)
    """
    boxes = np.zeros((len(masks), 4), np.float32)
    for axis, along in ((0, 1), (1, 2)):
        seen = np.asarray(masks.any(axis=along))
        there = seen.any(axis=1)
        boxes[:, axis] = np.where(there, seen.argmax(axis=1), 0)
        boxes[:, axis + 2] = np.where(there, seen.shape[1] - seen[:, ::-1].argmax(axis=1), 0)
    return boxes


def things_of_ids(ids: Array, label: int = 0, *, where: str = "the label") -> Instances:
    """Things of one class out of a map [H,W] of their numbers, 0 where there is none.

    Args:
        where: the file they come from, for errors.

    Raises:
        DataError: as `require_room`.
    """
    numbers = np.unique(ids)
    numbers = numbers[numbers != 0]
    require_room(len(numbers), (ids.shape[0], ids.shape[1]), where=where)
    masks = ids[None] == numbers[:, None, None]
    return things_of(masks, np.full(len(numbers), label, np.int32))


def require_room(count: int, size: Size, *, where: str) -> None:
    """Raise DataError for so many masks of (height, width) that no machine follows."""
    if count * size[0] * size[1] > MOST_BYTES:
        raise DataError(
            f"{where} has {count} things in an image of {size[0]}x{size[1]}",
            expected=f"masks of at most {MOST_BYTES >> 30} GB, a byte for each pixel of each thing",
            hint="cut the images into smaller ones",
        )


def masks_of(things: Instances) -> NDArray[np.bool_]:
    """bool [K,H,W]. Raises DataError where there are boxes alone."""
    if things.masks is None:
        raise DataError("things have boxes alone", expected="a mask of each thing, bool [K,H,W]")
    return things.masks


def resized(things: Instances, size: Size) -> Instances:
    """Those of the image at (height, width): masks by nearest neighbour, of which a small one may vanish;
    the same things when they fit."""
    masks = masks_of(things)
    if masks.shape[1:] == size:
        return things
    high, wide = size[0] / masks.shape[1], size[1] / masks.shape[2]
    boxes = things.boxes * np.array([wide, high, wide, high], np.float32)
    area = None if things.area is None else things.area * (high * wide)
    return things._replace(boxes=boxes, masks=np.ascontiguousarray(nearest(masks, size)), area=area)


def part_of(things: Instances, rows: slice, columns: slice) -> Instances:
    """Those of a part of the image. Things that are not in it are left out; one that is cut gets the box and
    the area of what is left of its mask."""
    masks = masks_of(things)
    inside = np.ascontiguousarray(masks[:, rows, columns])
    kept = np.asarray(inside.any(axis=(1, 2)))
    counts, before = inside.sum(axis=(1, 2)), masks.sum(axis=(1, 2))
    there = things._replace(masks=inside).where(kept)
    counts, cut = counts[kept], (counts < before)[kept]
    top, left = rows.indices(masks.shape[1])[0], columns.indices(masks.shape[2])[0]
    height, width = inside.shape[1:]
    moved = there.boxes - np.array([left, top, left, top], np.float32)
    moved = np.clip(moved, 0, np.array([width, height, width, height], np.float32))
    area: Any = None if there.area is None else np.where(cut, counts, there.area)
    boxes = np.where(cut[:, None], boxes_of(masks_of(there)), moved)
    return there._replace(boxes=boxes.astype(np.float32), area=area)
