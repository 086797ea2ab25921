"""Scores from confusion matrices [..., C, C] (row = label).

A class in neither label nor prediction has NaN. So has one that is not among those asked for: a class that
only the predictions show has an IoU of 0, which says nothing about how well it is found.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.metrics.counts import (
    HIT,
    LABELLED,
    Scores,
    counts_of,
    found_share,
    mean_present,
    overlap,
    ratio,
    right_share,
    twice_overlap,
)

Matrices = NDArray[Any]
Flags = NDArray[np.bool_]


def labelled(matrix: Matrices) -> Flags:
    """Which classes have a labelled pixel, bool [..., C].

    >>> labelled(np.array([[2, 1, 3], [1, 4, 0], [0, 0, 0]]))
    array([ True,  True, False])
    """
    flags: Flags = np.asarray(matrix).sum(-1) > 0
    return flags


def iou(matrix: Matrices, among: Flags | None = None) -> Scores:
    """Intersection over union per class, [..., C] in 0..1 (Jaccard index).

    Args:
        among: bool [..., C]; the other classes are NaN.

    >>> iou(np.array([[2, 1, 0], [1, 4, 0], [0, 0, 0]])).round(3)
    array([0.5  , 0.667,   nan])
    """
    return _only(overlap(counts_of(matrix)), among)


def mean_iou(matrix: Matrices, among: Flags | None = None) -> Any:
    """Mean of `iou` over classes, [...] in 0..1; NaN if there is none.

    Args:
        among: over those of these that are present; None: over those with a labelled pixel. A class that is
            only predicted takes pixels from the others, and is no term of the mean.

    >>> round(float(mean_iou(np.array([[2, 1, 3], [1, 4, 0], [0, 0, 0]]))), 3)
    0.476
    """
    return mean_present(iou(matrix, labelled(matrix) if among is None else among))


def dice(matrix: Matrices, among: Flags | None = None) -> Scores:
    """Dice coefficient (F1) per class, [..., C] in 0..1; `among` as in `iou`."""
    return _only(twice_overlap(counts_of(matrix)), among)


def recall(matrix: Matrices, among: Flags | None = None) -> Scores:
    """Share of the pixels of a class that are found, [..., C] in 0..1; `among` as in `iou`."""
    return _only(found_share(counts_of(matrix)), among)


def precision(matrix: Matrices, among: Flags | None = None) -> Scores:
    """Share of the pixels taken for a class that are of it, [..., C] in 0..1; NaN where none is taken for it;
    `among` as in `iou`."""
    return _only(right_share(counts_of(matrix)), among)


def pixel_accuracy(matrix: Matrices) -> Any:
    """Share of counted pixels that are right, [...] in 0..1; NaN if nothing was counted."""
    counts = counts_of(matrix)
    return ratio(counts[..., HIT, :].sum(-1), counts[..., LABELLED, :].sum(-1))[()]


def _only(scores: Scores, among: Flags | None) -> Scores:
    return scores if among is None else np.where(among, scores, np.nan)


def known(value: float) -> float | None:
    """A number, or None for NaN: files that outlive the process hold no NaN."""
    return None if math.isnan(value) else float(value)
