"""The interval of a paired loss, by leaving out one observation at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.metrics.student import t_quantile

Sums = NDArray[Any]
"""[images, ...]: what is counted on each image and may be added up."""
Loss = Callable[[Sums, Sums], tuple[Any, Any]]
"""Of sums [..., *] of A and B: what B loses in points, of all [...] and per class [..., C]."""

MANY = 10
"""Fewer sequences than this tell their own spread so badly that the interval says how few they are."""


class Interval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What B loses against A, in points (1 point = 0.01), with its interval. Positive: B is worse.

    Attributes:
        drop, low, high: of all classes together; no interval (NaN) from a single observation.
        class_drop, class_low, class_high: per class; NaN for a class that no image shows. A class that
            a single observation shows has a drop and no interval.
        confidence: of the interval, such as 0.95.
        images: how many there are; `sequences`: how many videos they come from, 0 where nothing tells.
        observation: what was left out, one at a time, or drawn.
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


def paired_interval(
    loss: Loss,
    shown: Callable[[Sums, Sums], tuple[Any, Any]],
    a: Sums,
    b: Sums,
    sequences: Sequence[str] = (),
    *,
    confidence: float = 0.95,
) -> Interval:
    """What B loses against A on the same images.

    The observations are the sequences, or the images where nothing tells sequences or there is only one.
    The loss is computed again without each of them in turn; the spread of these values is the standard
    error (delete-one jackknife: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 11; of
    clusters with Student's t: MacKinnon, Nielsen and Webb, "Cluster-robust inference: A guide to empirical
    practice", 2023), and the interval reaches t standard errors to both sides, with one degree of freedom
    less than there are observations; of a class: than observations that show it. Percentiles of a bootstrap
    cover less, the fewer observations there are: `benchmarks/drop_coverage.py`.

    Args:
        loss: see `Loss`.
        shown: which observations of both have something to say, bool [observations], and about each class,
            bool [observations, C].
        a, b: one array per image, in the same order of images.
        sequences: the video that each image comes from; empty: nothing tells.

    Raises:
        InputError: the shapes differ, or there is no image.
    """
    if a.shape != b.shape or not a.ndim or not len(a) or len(sequences) not in (0, len(a)):
        raise InputError(
            f"sums of the shapes {list(a.shape)} and {list(b.shape)} cannot be paired",
            expected="two arrays of one shape over the same images, at least one, and a sequence for each "
            "image or none",
        )
    place = observations(len(a), sequences)
    first, second = (_summed(sums, place) for sums in (a, b))
    whole = first.sum(0), second.sum(0)
    loss_of_all, left = loss(*whole), loss(whole[0] - first, whole[1] - second)
    shows, shows_classes = shown(first, second)
    return interval_around(
        columns(*loss_of_all),
        _left_out(columns(*left)),
        columns(shows, shows_classes).sum(0),
        confidence=confidence,
        images=len(a),
        sequences=len(set(sequences)),
    )


def observations(images: int, sequences: Sequence[str]) -> NDArray[np.intp]:
    """Which observation each image belongs to, [images]: its sequence, or itself where nothing tells
    sequences or there is only one."""
    if not 1 < len(set(sequences)) < images:
        return np.arange(images)
    return np.asarray(np.unique(np.asarray(sequences), return_inverse=True)[1])


def columns(of_all: Any, of_classes: Any) -> NDArray[Any]:
    """What is said of all [...] and of each class [..., C], beside each other: [..., 1+C]."""
    return np.concatenate([np.asarray(of_all)[..., None], of_classes], axis=-1)


def interval_around(
    drops: NDArray[Any],
    errors: NDArray[Any],
    shows: NDArray[Any],
    *,
    confidence: float,
    images: int,
    sequences: int,
) -> Interval:
    """The interval that reaches t standard errors to both sides, but no more than all can be lost or won.

    Args:
        drops, errors: `columns` [1+C] in points.
        shows: how many observations have something to say about each.
    """
    reach = np.full(len(drops), np.nan)
    for column in np.flatnonzero(shows > 1):
        reach[column] = t_quantile(confidence, int(shows[column]) - 1) * errors[column]
    low, high = np.maximum(drops - reach, -100.0), np.minimum(drops + reach, 100.0)
    return Interval(
        drop=float(drops[0]),
        low=float(low[0]),
        high=float(high[0]),
        class_drop=tuple(drops[1:].tolist()),
        class_low=tuple(low[1:].tolist()),
        class_high=tuple(high[1:].tolist()),
        confidence=confidence,
        images=images,
        sequences=sequences,
        observation="sequence" if 1 < sequences < images else "image",
    )


def _summed(sums: Sums, place: NDArray[np.intp]) -> Sums:
    """One array per observation."""
    count = int(place.max()) + 1
    if count == len(sums):
        return sums
    total = np.zeros((count, *sums.shape[1:]), sums.dtype)
    np.add.at(total, place, sums)
    return total


def _left_out(without: Any) -> NDArray[np.float64]:
    """Standard error per column, of the losses without each observation, [observations, columns]."""
    error = np.full(without.shape[1], np.nan)
    for column, values in enumerate(without.T):
        if (found := values[~np.isnan(values)]).size:
            error[column] = np.sqrt((len(found) - 1) * found.var())
    return error
