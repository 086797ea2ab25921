"""Is a drop real? A paired bootstrap over images."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.metrics.scores import iou, mean_present

Matrices = NDArray[Any]


class Interval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A drop of IoU in points (1 point = 0.01) with its percentile interval. Positive: B is worse.

    Attributes:
        drop, low, high: of the mean IoU.
        class_drop, class_low, class_high: per class; NaN for a class that A or B lacks.
        confidence: of the interval, such as 0.95.
        images: how many were resampled.
    """

    drop: float
    low: float
    high: float
    class_drop: tuple[float, ...]
    class_low: tuple[float, ...]
    class_high: tuple[float, ...]
    confidence: float
    images: int


def paired_drop(
    a: Matrices, b: Matrices, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Drop of dataset-level IoU from A to B on the same images.

    Images are drawn with replacement, the same for A and B; each resample sums its confusion
    matrices and gives one drop; the interval is the percentile interval of these
    (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13).

    Args:
        a, b: one confusion matrix per image, [N,C,C], in the same order of images.

    Raises:
        InputError: the shapes differ, or there is no image.
    """
    if a.shape != b.shape or a.ndim != 3 or not len(a):
        raise InputError(
            f"confusion matrices of the shapes {list(a.shape)} and {list(b.shape)} cannot be paired",
            expected="two arrays [images, classes, classes] over the same images, at least one",
        )
    count = len(a)
    drawn = np.random.default_rng(seed).integers(0, count, (resamples, count))
    rows = np.repeat(np.arange(resamples), count)
    times = np.bincount(rows * count + drawn.ravel(), minlength=resamples * count)
    weights = times.reshape(resamples, count).astype(np.float64)
    overall, classes = _drops(a.sum(0), b.sum(0))
    overall_all, classes_all = _drops(_weighted(weights, a), _weighted(weights, b))
    tail = (1.0 - confidence) / 2.0
    low, high = _percentiles(overall_all[:, None], tail)
    class_low, class_high = _percentiles(classes_all, tail)
    return Interval(
        drop=float(overall),
        low=low[0],
        high=high[0],
        class_drop=tuple(float(v) for v in classes),
        class_low=class_low,
        class_high=class_high,
        confidence=confidence,
        images=count,
    )


def _weighted(weights: NDArray[np.float64], matrices: Matrices) -> Matrices:
    flat = matrices.reshape(len(matrices), -1).astype(np.float64)
    return (weights @ flat).reshape(len(weights), *matrices.shape[1:])


def _drops(a: Matrices, b: Matrices) -> tuple[Any, Any]:
    """Drops in points: [...] and [..., C]."""
    first, second = iou(a), iou(b)
    return 100.0 * (mean_present(first) - mean_present(second)), 100.0 * (first - second)


def _percentiles(drops: Any, tail: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Ends of the interval per column, over the resamples in which the class was present."""
    ends = []
    for column in drops.T:
        known = column[~np.isnan(column)]
        ends.append(np.quantile(known, [tail, 1 - tail]) if known.size else np.array([np.nan, np.nan]))
    return tuple(float(e[0]) for e in ends), tuple(float(e[1]) for e in ends)
