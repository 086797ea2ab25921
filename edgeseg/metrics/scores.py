"""Scores from confusion matrices [..., C, C] (row = label). A class in neither label nor prediction: NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Matrices = NDArray[Any]


def iou(matrix: Matrices) -> Scores:
    """Intersection over union per class, [..., C] in 0..1 (Jaccard index).

    >>> iou(np.array([[2, 1, 0], [1, 4, 0], [0, 0, 0]])).round(3)
    array([0.5  , 0.667,   nan])
    """
    hit, actual, guessed = _counts(matrix)
    return _ratio(hit, actual + guessed - hit)


def mean_iou(matrix: Matrices) -> Any:
    """Mean of `iou` over the classes that are present, [...] in 0..1; NaN if there is none.

    >>> round(float(mean_iou(np.array([[2, 1, 0], [1, 4, 0], [0, 0, 0]]))), 3)
    0.583
    """
    return mean_present(iou(matrix))


def dice(matrix: Matrices) -> Scores:
    """Dice coefficient (F1) per class, [..., C] in 0..1."""
    hit, actual, guessed = _counts(matrix)
    return _ratio(2 * hit, actual + guessed)


def pixel_accuracy(matrix: Matrices) -> Any:
    """Share of counted pixels that are right, [...] in 0..1; NaN if nothing was counted."""
    hit, actual, _ = _counts(matrix)
    return _ratio(hit.sum(-1), actual.sum(-1))[()]


def mean_present(scores: Scores) -> Any:
    """Mean over the last axis without NaN; NaN where there is nothing else."""
    present = ~np.isnan(scores)
    return _ratio(np.where(present, scores, 0.0).sum(-1), present.sum(-1))[()]


def _counts(matrix: Matrices) -> tuple[Scores, Scores, Scores]:
    values = np.asarray(matrix, np.float64)
    return np.diagonal(values, axis1=-2, axis2=-1), values.sum(-1), values.sum(-2)


def _ratio(part: Any, whole: Any) -> Scores:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    ratio: Scores = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return ratio
