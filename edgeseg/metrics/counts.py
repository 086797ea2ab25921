"""Pixels per class: all that scores of overlap need, and a sum over images.

Counts are int64 [..., 3, C]: HIT (in both), LABELLED (in the label), FOUND (in the prediction).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.metrics.confusion import Labels, counted

Counts = NDArray[Any]
Scores = NDArray[np.float64]

HIT, LABELLED, FOUND = range(3)


def counts_of(matrix: Counts) -> Counts:
    """Of confusion matrices [..., C, C] (row = label).

    >>> counts_of(np.array([[2, 1], [0, 4]]))
    array([[2, 4],
           [3, 4],
           [2, 5]])
    """
    values = np.asarray(matrix)
    hit = np.diagonal(values, axis1=-2, axis2=-1)
    return np.stack([hit, values.sum(-1), values.sum(-2)], axis=-2)


def class_counts(
    label: Labels, prediction: Labels, classes: int, ignore_index: int | None = None
) -> NDArray[np.int64]:
    """Of maps of class ids, [3, C]; arguments and errors as of `confusion`.

    >>> class_counts(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 0]), 2, ignore_index=255)
    array([[1, 1],
           [2, 1],
           [1, 2]])
    """
    wanted, found = counted(label, prediction, classes, ignore_index)
    parts = (wanted[wanted == found], wanted, found)
    return np.stack([np.bincount(ids, minlength=classes) for ids in parts]).astype(np.int64)


def overlap(counts: Counts) -> Scores:
    """Intersection over union (Jaccard index), [..., C] in 0..1; NaN for a class in neither map."""
    hit, labelled, found = _rows(counts)
    return ratio(hit, labelled + found - hit)


def twice_overlap(counts: Counts) -> Scores:
    """Dice coefficient (F1), [..., C] in 0..1; NaN for a class in neither map."""
    hit, labelled, found = _rows(counts)
    return ratio(2 * hit, labelled + found)


def found_share(counts: Counts) -> Scores:
    """Recall, [..., C] in 0..1; NaN for a class that is not labelled."""
    hit, labelled, _ = _rows(counts)
    return ratio(hit, labelled)


def right_share(counts: Counts) -> Scores:
    """Precision, [..., C] in 0..1; NaN for a class that nothing is taken for."""
    hit, _, found = _rows(counts)
    return ratio(hit, found)


def ratio(part: Any, whole: Any) -> Scores:
    """NaN where the whole is nothing."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    result: Scores = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return result


def mean_present(scores: Scores) -> Any:
    """Mean over the last axis without NaN; NaN where there is nothing else."""
    present = ~np.isnan(scores)
    return ratio(np.where(present, scores, 0.0).sum(-1), present.sum(-1))[()]


def _rows(counts: Counts) -> tuple[Scores, Scores, Scores]:
    values = np.asarray(counts, np.float64)
    return values[..., HIT, :], values[..., LABELLED, :], values[..., FOUND, :]
