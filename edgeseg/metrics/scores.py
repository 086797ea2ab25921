"""Scores from confusion matrices [..., C, C] (row = label).

A class in neither label nor prediction has NaN. So has one that is not among those asked for: a class that
only the predictions show has an IoU of 0, which says nothing about how well it is found.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
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
    hit, actual, guessed = _counts(matrix)
    return _only(_ratio(hit, actual + guessed - hit), among)


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
    hit, actual, guessed = _counts(matrix)
    return _only(_ratio(2 * hit, actual + guessed), among)


def recall(matrix: Matrices, among: Flags | None = None) -> Scores:
    """Share of the pixels of a class that are found, [..., C] in 0..1; `among` as in `iou`."""
    hit, actual, _ = _counts(matrix)
    return _only(_ratio(hit, actual), among)


def precision(matrix: Matrices, among: Flags | None = None) -> Scores:
    """Share of the pixels taken for a class that are of it, [..., C] in 0..1; NaN where none is taken for it;
    `among` as in `iou`."""
    hit, _, guessed = _counts(matrix)
    return _only(_ratio(hit, guessed), among)


def pixel_accuracy(matrix: Matrices) -> Any:
    """Share of counted pixels that are right, [...] in 0..1; NaN if nothing was counted."""
    hit, actual, _ = _counts(matrix)
    return _ratio(hit.sum(-1), actual.sum(-1))[()]


def mean_present(scores: Scores) -> Any:
    """Mean over the last axis without NaN; NaN where there is nothing else."""
    present = ~np.isnan(scores)
    return _ratio(np.where(present, scores, 0.0).sum(-1), present.sum(-1))[()]


def _only(scores: Scores, among: Flags | None) -> Scores:
    return scores if among is None else np.where(among, scores, np.nan)


def _counts(matrix: Matrices) -> tuple[Scores, Scores, Scores]:
    values = np.asarray(matrix, np.float64)
    return np.diagonal(values, axis1=-2, axis2=-1), values.sum(-1), values.sum(-2)


def _ratio(part: Any, whole: Any) -> Scores:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    ratio: Scores = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return ratio


def known(value: float) -> float | None:
    """A number, or None for NaN: files that outlive the process hold no NaN."""
    return None if math.isnan(value) else float(value)
