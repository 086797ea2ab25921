"""Average precision by the COCO definition, from the matches of images.

All detections of a class are put in order of their scores; the precision at 101 values of recall is the
highest that is reached at that recall or a higher one, and average precision is its mean. Images may have
weights: an image of weight 2 counts as two copies of it, which is all that resampling needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.metrics.counts import Scores
from edgeseg.metrics.matching import SIZES, THRESHOLDS, Flags, Matches

RECALLS = np.linspace(0.0, 1.0, 101)
Weights = NDArray[np.int64]

CELLS = 1 << 18
"""Numbers of one table [detections, sets of weights] at a time: they stay in the cache of a core."""


class _Ranked(NamedTuple):
    """What was found of one class, by falling score: the image of each [D], and its flags [T,D]."""

    image: NDArray[np.intp]
    right: Flags
    counted: Flags


def together(kept: Sequence[Matches]) -> Matches:
    """Several images as one. Order among equal scores is that of the images."""
    scores, labels, matched, ignored, truths = zip(*kept)
    return Matches(
        np.concatenate(scores),
        np.concatenate(labels),
        np.concatenate(matched, axis=-1),
        np.concatenate(ignored, axis=-1),
        np.sum(truths, axis=0),
    )


def precision_tables(kept: Sequence[Matches], *, sizes: bool = True) -> dict[str, Scores]:
    """Of all images together, each class in 0..1, [C]; NaN for a class of which there is nothing to find.

    `AP` is the mean over `THRESHOLDS`, `AP50` and `AP75` are those of one threshold, `AP small`, `AP medium`
    and `AP large` are of things of that size. COCO's numbers are their means over the classes
    (`mean_present`).

    Args:
        sizes: also of each size, which takes four times as long.
    """
    weights = np.ones((1, len(kept)), np.int64)
    whole = average_precision(kept, weights)[0]
    chosen = {f"AP{round(100 * THRESHOLDS[at])}": whole[at] for at in (0, 5)}
    asked = SIZES[1:] if sizes else ()
    of_size = {f"AP {size}": average_precision(kept, weights, size)[0].mean(0) for size in asked}
    return {"AP": whole.mean(0), **chosen, **of_size}


def average_precision(kept: Sequence[Matches], weights: Weights, size: str = SIZES[0]) -> Scores:
    """[R,T,C] in 0..1, T of `THRESHOLDS`; NaN for a class of which there is nothing to find.

    Args:
        kept: N images, one at least.
        weights: how often each image counts, int64 [R,N].
        size: one of `SIZES`.
    """
    area = SIZES.index(size)
    truths = weights @ np.stack([image.truths[area] for image in kept])
    result = np.full((len(weights), len(THRESHOLDS), truths.shape[1]), np.nan)
    for label, ranked in enumerate(_ranked(kept, area, truths.shape[1])):
        some = np.flatnonzero(truths[:, label])
        step = max(1, CELLS // max(1, len(ranked.image)))
        for start in range(0, len(some), step):
            rows = some[start : start + step]
            own = np.ascontiguousarray(weights[rows].T, np.int32)
            result[rows, :, label] = _precision(ranked, own, truths[rows, label])
    return result


def _ranked(kept: Sequence[Matches], area: int, classes: int) -> Iterator[_Ranked]:
    """Of each class."""
    owner = np.repeat(np.arange(len(kept)), [len(image.scores) for image in kept])
    scores, labels = (np.concatenate([image[at] for image in kept]) for at in (0, 1))
    matched = np.concatenate([image.matched[area] for image in kept], axis=-1)
    counted = ~np.concatenate([image.ignored[area] for image in kept], axis=-1)
    order = np.argsort(-scores, kind="stable")
    for label in range(classes):
        rows = order[labels[order] == label]
        yield _Ranked(owner[rows], matched[:, rows] & counted[:, rows], counted[:, rows])


def _precision(ranked: _Ranked, weights: NDArray[np.int32], truths: NDArray[Any]) -> Scores:
    """[R,T] of one class, from weights [N,R] and what there is to find, [R], not 0.

    Only where something is right can precision be at its highest, or recall rise: the sums between two such
    places are made once for all thresholds.
    """
    result = np.zeros((len(THRESHOLDS), len(truths)))
    places = np.flatnonzero(ranked.right.any(0))
    if not places.size:
        return result.T
    own = weights[ranked.image[: places[-1] + 1]]
    steps = own[places]
    every = np.add.reduceat(own, [0, *(places[:-1] + 1)], axis=0)
    for at, right in enumerate(ranked.right[:, places]):
        hits = steps[right].cumsum(0)
        if not len(hits):
            continue
        ignored = np.flatnonzero(~ranked.counted[at, : len(own)])
        taken = every.copy()
        np.subtract.at(taken, np.searchsorted(places, ignored), own[ignored])
        precision = hits / np.maximum(taken.cumsum(0)[right], 1)
        highest = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        result[at] = (_risen(hits / truths) * highest).sum(0) / len(RECALLS)
    return result.T


def _risen(recall: Scores) -> NDArray[np.int32]:
    """How many of `RECALLS` are first reached at each place, [P,R]."""
    nearest = (100 * recall + 1e-6).astype(np.int32)
    reached = nearest + (RECALLS[nearest] <= recall)
    return np.diff(reached, axis=0, prepend=0)
