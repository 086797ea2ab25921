"""How much of one thing is another: areas and intersection over union, of boxes and of masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.metrics.counts import ratio

Overlaps = NDArray[np.float64]

CELLS = 1 << 22
"""Pixels of masks that are float32 at a time (16 MB); a sum of so many ones is exact in float32."""


def box_areas(boxes: NDArray[Any]) -> NDArray[np.float64]:
    """Of boxes [K,4] (x0, y0, x1, y1), float64 [K] in square pixels.

    >>> box_areas(np.array([[1, 1, 3, 4]]))
    array([6.])
    """
    x0, y0, x1, y1 = np.asarray(boxes, np.float64).T
    return np.asarray((x1 - x0) * (y1 - y0))


def mask_areas(masks: Sequence[NDArray[np.bool_]] | NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of K masks [H,W], float64 [K] in pixels."""
    return np.array([np.count_nonzero(mask) for mask in masks], np.float64)


def box_overlaps(found: NDArray[Any], truth: NDArray[Any], crowd: NDArray[np.bool_]) -> Overlaps:
    """Intersection over union, float64 [D,G] in 0..1; of a crowd: the share of what was found that it holds.

    Args:
        found, truth: boxes [D,4] and [G,4] (x0, y0, x1, y1).
        crowd: which of the truth are crowds, [G].

    >>> box_overlaps(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2]]), np.array([True]))
    array([[0.5]])
    """
    a, b = np.asarray(found, np.float64)[:, None], np.asarray(truth, np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    both = np.where((sides > 0).all(-1), sides.prod(-1), 0.0)
    return _shares(both, box_areas(found), box_areas(truth), crowd)


def mask_overlaps(
    found: Sequence[NDArray[np.bool_]],
    truth: Sequence[NDArray[np.bool_]],
    crowd: NDArray[np.bool_],
    areas: tuple[NDArray[Any], NDArray[Any]],
) -> Overlaps:
    """As `box_overlaps`, of D and G masks [H,W], with their `mask_areas`.

    Memory is bounded: a strip of all masks at a time becomes float32, and its product is summed.
    """
    both = np.zeros((len(found), len(truth)))
    if not both.size:
        return both
    first, second = ([mask.reshape(-1) for mask in masks] for masks in (found, truth))
    strip = max(1, CELLS // sum(both.shape))
    for start in range(0, len(first[0]), strip):
        b = _strip(second, start, strip)
        if b.any():
            both += _strip(first, start, strip) @ b.T
    return _shares(both, *areas, crowd)


def _strip(masks: Sequence[NDArray[np.bool_]], start: int, length: int) -> NDArray[np.float32]:
    return np.stack([mask[start : start + length] for mask in masks]).astype(np.float32)


def _shares(both: Overlaps, found: NDArray[Any], truth: NDArray[Any], crowd: NDArray[np.bool_]) -> Overlaps:
    whole = np.where(crowd, found[:, None], found[:, None] + truth - both)
    return np.where(both > 0, ratio(both, whole), 0.0)
