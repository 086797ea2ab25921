"""Is a drop real? The interval of a paired difference of scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.metrics.counts import LABELLED, Scores, counts_of, mean_present, overlap
from edgeseg.metrics.interval import Interval, paired_interval

Matrices = NDArray[Any]
Score = Callable[[NDArray[Any]], Scores]
"""Counts [...,3,C] to the score of each class, 0..1."""


def paired_drop(
    a: Matrices, b: Matrices, sequences: Sequence[str] = (), *, confidence: float = 0.95
) -> Interval:
    """`drop_of_counts` of IoU.

    Args:
        a, b: one confusion matrix per image, [N,C,C].
    """
    if not all(m.ndim == 3 and m.shape[1] == m.shape[2] for m in (a, b)):
        raise _unpaired(a, b)
    return drop_of_counts(counts_of(a), counts_of(b), overlap, sequences, confidence=confidence)


def drop_of_counts(
    a: Matrices, b: Matrices, score: Score, sequences: Sequence[str] = (), *, confidence: float = 0.95
) -> Interval:
    """Drop of a dataset-level score from A to B on the same images: of its mean over the classes that are
    labelled, and of each of them. See `paired_interval`.

    Args:
        a, b: counts of each image, [N,3,C], in the same order of images, of the same labels.
        sequences: the video that each image comes from; empty: nothing tells.

    Raises:
        InputError: the shapes differ, or there is no image.
    """
    if a.ndim != 3:
        raise _unpaired(a, b)
    return paired_interval(partial(_drops, score), _shown, a, b, sequences, confidence=confidence)


def _shown(a: Matrices, b: Matrices) -> tuple[Any, Any]:
    classes = _labelled(a)
    return classes.any(axis=-1), classes


def _drops(score: Score, a: Matrices, b: Matrices) -> tuple[Any, Any]:
    """Drops in points: [...] and [..., C]."""
    among = _labelled(a)
    first, second = (np.where(among, score(counts), np.nan) for counts in (a, b))
    return 100.0 * (mean_present(first) - mean_present(second)), 100.0 * (first - second)


def _labelled(counts: Matrices) -> NDArray[np.bool_]:
    """Classes with a labelled pixel, [..., C]."""
    labelled: Any = counts[..., LABELLED, :]
    return np.asarray(labelled > 0)


def _unpaired(a: Matrices, b: Matrices) -> InputError:
    return InputError(
        f"counts of the shapes {list(a.shape)} and {list(b.shape)} cannot be paired",
        expected="those of the same images, at least one, and a sequence for each image or none",
    )
