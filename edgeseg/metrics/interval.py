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
    images, videos = len(a), len(set(sequences))
    if 1 < videos < images:
        a, b = (_summed(sums, sequences) for sums in (a, b))
    whole = a.sum(0), b.sum(0)
    drop, classes = loss(*whole)
    without, without_classes = loss(whole[0] - a, whole[1] - b)
    shows, shows_classes = shown(a, b)
    reach = _reach(without[:, None], shows[:, None], confidence)[0]
    class_reach = _reach(without_classes, shows_classes, confidence)
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


def _summed(sums: Sums, sequences: Sequence[str]) -> Sums:
    """One array per sequence."""
    _, place = np.unique(np.asarray(sequences), return_inverse=True)
    total = np.zeros((int(place.max()) + 1, *sums.shape[1:]), sums.dtype)
    np.add.at(total, place, sums)
    return total


def _reach(without: Any, shows: Any, confidence: float) -> NDArray[np.float64]:
    """Half the width of the interval per column.

    Args:
        without: [observations, columns], the loss without each.
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
