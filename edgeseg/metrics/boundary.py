"""Boundary IoU: overlap of the bands along the borders of a class.

Cheng, Girshick, Dollár, Berg, Kirillov, "Boundary IoU: Improving Object-Centric Image Segmentation
Evaluation", CVPR 2021. A mask minus its erosion by d pixels (3x3 square, d times, outside of the image
counts as background) is its band; label and prediction bands are compared like masks.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseg.metrics.confusion import Labels, require_same_shape
from edgeseg.metrics.counts import Scores, ratio

Flags = NDArray[np.bool_]


class BoundaryCounts(msgspec.Struct, frozen=True):
    """Pixels per class, int64 [C]. Counts of several images add up to those of the dataset."""

    intersection: NDArray[np.int64]
    union: NDArray[np.int64]

    def __add__(self, other: BoundaryCounts) -> BoundaryCounts:
        return BoundaryCounts(self.intersection + other.intersection, self.union + other.union)


def boundary_width(height: int, width: int, ratio: float = 0.02) -> int:
    """Width of the band in pixels: `ratio` of the image diagonal, at least 1.

    >>> boundary_width(360, 480)
    12
    """
    return max(1, round(ratio * math.hypot(height, width)))


def boundary_counts(
    label: Labels,
    prediction: Labels,
    classes: int,
    ignore_index: int | None = None,
    *,
    distance: int | None = None,
) -> BoundaryCounts:
    """Count the bands of one image.

    Args:
        label, prediction: class ids [H,W]. Pixels whose label is `ignore_index` are not counted and
            belong to no class, so a border to them is a border.
        distance: width of the band in pixels; None: `boundary_width` of the image.
    """
    require_same_shape(label, prediction, "label", "prediction")
    reach = boundary_width(*label.shape) if distance is None else distance
    keep = None if ignore_index is None else label != ignore_index
    truth, guess = _bands(label, reach, keep), _bands(prediction, reach, keep)
    wanted = np.bincount(label[truth], minlength=classes)[:classes]
    found = np.bincount(prediction[guess], minlength=classes)[:classes]
    both = truth & guess & (label == prediction)
    intersection = np.bincount(label[both], minlength=classes)[:classes]
    return BoundaryCounts(intersection.astype(np.int64), (wanted + found - intersection).astype(np.int64))


def boundary_iou(counts: BoundaryCounts) -> Scores:
    """Per class, float64 [C] in 0..1; NaN for a class in neither label nor prediction."""
    return ratio(counts.intersection, counts.union)


def _bands(ids: Labels, reach: int, keep: Flags | None) -> Flags:
    """Pixels within `reach` (chessboard distance) of a pixel of another class or of the image's edge.

    A pixel survives the erosion of its class when the window around it holds one id only, so one pass
    of running minimum and maximum serves all classes.
    """
    values = ids.astype(np.int16)
    if keep is not None:
        values = np.where(keep, values, -1)
    padded = np.pad(values, reach, constant_values=-2)
    lowest = _running(_running(padded, reach, 0, np.minimum), reach, 1, np.minimum)
    highest = _running(_running(padded, reach, 0, np.maximum), reach, 1, np.maximum)
    band: Flags = lowest != highest
    return band if keep is None else band & keep


def _running(values: Any, reach: int, axis: int, pick: Any) -> Any:
    """Minimum or maximum over windows of 2 * reach + 1 along an axis, by doubling the window."""
    window = 2 * reach + 1
    size = 1
    while size * 2 <= window:
        values = _pairwise(values, size, axis, pick)
        size *= 2
    return _pairwise(values, window - size, axis, pick) if window > size else values


def _pairwise(values: Any, shift: int, axis: int, pick: Any) -> Any:
    length = values.shape[axis] - shift
    first = values[:length] if axis == 0 else values[:, :length]
    second = values[shift:] if axis == 0 else values[:, shift:]
    return pick(first, second)
