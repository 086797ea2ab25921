"""Is a drop real? The interval of a paired difference of scores, by leaving out one observation at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.metrics.counts import LABELLED, Scores, counts_of, mean_present, overlap
from edgeseg.metrics.student import t_quantile

Matrices = NDArray[Any]
Score = Callable[[NDArray[Any]], Scores]
"""Counts [...,3,C] to the score of each class, 0..1."""

MANY = 10
"""Fewer sequences than this tell their own spread so badly that the interval says how few they are."""


class Interval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A drop of a score in points (1 point = 0.01) with its interval. Positive: B is worse.

    Attributes:
        drop, low, high: of the mean over the classes; no interval (NaN) from a single observation.
        class_drop, class_low, class_high: per class; NaN for a class without a labelled pixel. A class that
            a single observation shows has a drop and no interval.
        confidence: of the interval, such as 0.95.
        images: how many there are; `sequences`: how many videos they come from, 0 where nothing tells.
        observation: what was left out, one at a time.
    """

    drop: float
    low: float
    high: float
    class_drop: tuple[float, ...]
    class_low: tuple[float, ...]
    class_high: tuple[float, ...]
    confidence: float
    images: int
    sequences: int
    observation: Literal["image", "sequence"]

    @property
    def caveat(self) -> str:
        """Why the interval is not to be taken for more than it is; empty: there is no reason."""
        if self.sequences == 1:
            return f"{self.images} images of 1 sequence, one by one: too narrow for other scenes"
        if 0 < self.sequences < MANY:
            return f"only {self.sequences} sequences: rough"
        return ""


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
    labelled, and of each of them.

    The observations are the sequences, or the images where nothing tells sequences or there is only one.
    The drop is computed again without each of them in turn; the spread of these values is the standard
    error (delete-one jackknife: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 11; of
    clusters with Student's t: MacKinnon, Nielsen and Webb, "Cluster-robust inference: A guide to empirical
    practice", 2023), and the interval reaches t standard errors to both sides, with one degree of freedom
    less than there are observations; of a class: than observations that show it. Percentiles of a bootstrap
    cover less, the fewer observations there are: `benchmarks/drop_coverage.py`.

    Args:
        a, b: counts of each image, [N,3,C], in the same order of images, of the same labels.
        sequences: the video that each image comes from; empty: nothing tells.

    Raises:
        InputError: the shapes differ, or there is no image.
    """
    if a.shape != b.shape or a.ndim != 3 or not len(a) or len(sequences) not in (0, len(a)):
        raise _unpaired(a, b)
    images, videos = len(a), len(set(sequences))
    if 1 < videos < images:
        a, b = (_summed(matrices, sequences) for matrices in (a, b))
    whole = a.sum(0), b.sum(0)
    drop, classes = _drops(*whole, score)
    without, without_classes = _drops(whole[0] - a, whole[1] - b, score)
    shown: Any = _labelled(a)
    reach = _reach(without[:, None], shown.any(axis=1)[:, None], confidence)[0]
    class_reach = _reach(without_classes, shown, confidence)
    low, high = _ends(drop, reach)
    class_low, class_high = _ends(classes, class_reach)
    return Interval(
        drop=float(drop),
        low=float(low),
        high=float(high),
        class_drop=tuple(classes.tolist()),
        class_low=tuple(class_low.tolist()),
        class_high=tuple(class_high.tolist()),
        confidence=confidence,
        images=images,
        sequences=videos,
        observation="sequence" if 1 < videos < images else "image",
    )


def _summed(matrices: Matrices, sequences: Sequence[str]) -> Matrices:
    """The counts of each sequence."""
    _, place = np.unique(np.asarray(sequences), return_inverse=True)
    total = np.zeros((int(place.max()) + 1, *matrices.shape[1:]), np.int64)
    np.add.at(total, place, matrices)
    return total


def _drops(a: Matrices, b: Matrices, score: Score) -> tuple[Any, Any]:
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


def _reach(without: Any, shows: Any, confidence: float) -> NDArray[np.float64]:
    """Half the width of the interval per column.

    Args:
        without: [observations, columns], the drop without each.
        shows: bool of the same shape: which observations have something to say.
    """
    reach = np.full(without.shape[1], np.nan)
    for column, count in enumerate(shows.sum(0)):
        if count > 1:
            found = without[:, column][~np.isnan(without[:, column])]
            spread = float(np.sqrt((len(found) - 1) * found.var()))
            reach[column] = t_quantile(confidence, int(count) - 1) * spread
    return reach


def _ends(drop: Any, reach: Any) -> tuple[Any, Any]:
    """No more than all can be lost or won."""
    return np.maximum(drop - reach, -100.0), np.minimum(drop + reach, 100.0)
