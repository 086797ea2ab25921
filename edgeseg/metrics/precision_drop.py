"""Is a drop of average precision real? It does not add up over images, so images are drawn anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.metrics.average_precision import Weights, average_precision
from edgeseg.metrics.counts import mean_present, ratio
from edgeseg.metrics.interval import Interval, columns, interval_around, observations
from edgeseg.metrics.matching import Matches

RESAMPLES = 1000


def precision_drop(
    a: Sequence[Matches],
    b: Sequence[Matches],
    sequences: Sequence[str] = (),
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """What B loses of `AP` against A on the same images, in points: of its mean over the classes of which
    there is something to find, and of each of them.

    Observations (see `paired_interval`) are drawn with repetition, the same for both. The spread of the
    drops is the standard error (bootstrap: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993),
    and the interval reaches t of them to both sides, as that of other drops.

    Args:
        a, b: of each image, in the same order of images, of the same labels.
        sequences: the video that each image comes from; empty: nothing tells.
        resamples: how often they are drawn; `seed`: of the draws.

    Raises:
        InputError: they are not of the same images, or there is none.
    """
    if not a or len(a) != len(b) or len(sequences) not in (0, len(a)):
        raise _unpaired(f"{len(a)} and {len(b)} images, {len(sequences)} with a sequence")
    if any(x.truths.shape != y.truths.shape or (x.truths != y.truths).any() for x, y in zip(a, b)):
        raise _unpaired("images of other labels")
    place = observations(len(a), sequences)
    count = int(place.max()) + 1
    shown = np.zeros((count, a[0].truths.shape[1]), bool)
    np.logical_or.at(shown, place, np.stack([image.truths[0] > 0 for image in a]))
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    return interval_around(
        _drops(a, b, np.ones((1, len(a)), np.int64))[0],
        _spread(_drops(a, b, draws[:, place])) * np.sqrt(count / max(1, count - 1)),
        columns(shown.any(-1), shown).sum(0),
        confidence=confidence,
        images=len(a),
        sequences=len(set(sequences)),
    )


def _drops(a: Sequence[Matches], b: Sequence[Matches], weights: Weights) -> NDArray[np.float64]:
    """`columns` [R,1+C] in points."""
    first, second = (average_precision(kept, weights).mean(1) for kept in (a, b))
    return 100.0 * columns(mean_present(first) - mean_present(second), first - second)


def _spread(drops: NDArray[Any]) -> NDArray[np.float64]:
    """Standard deviation of each column, without NaN: draws without the class."""
    there = ~np.isnan(drops)
    count = there.sum(0)
    off = np.where(there, drops - ratio(np.where(there, drops, 0.0).sum(0), count), 0.0)
    return np.sqrt(ratio((off**2).sum(0), count))


def _unpaired(given: str) -> InputError:
    return InputError(
        f"{given} cannot be paired",
        expected="what was found in the same images, at least one, and a sequence for each image or none",
    )
