"""Summaries of latency samples that assume no distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.measurement import PairedRatio, Percentiles
from edgeseg.errors import InputError

P99_SAMPLES = 1000
"""Below this, fewer than ten samples lie beyond the 99th percentile."""
EXACT_SAMPLES = 1000
RESAMPLES = 10_000


def summarize(samples_ms: Sequence[float]) -> Percentiles:
    """Percentiles (linear between samples) and the 95% interval of the median.

    Raises:
        InputError: no samples.
    """
    if len(samples_ms) == 0:
        raise InputError("there are no samples to summarize", expected="at least one run")
    ordered = np.sort(np.asarray(samples_ms, np.float64))
    rank = median_rank(len(ordered))
    return Percentiles(
        count=len(ordered),
        minimum=float(ordered[0]),
        mean=float(ordered.mean()),
        p50=float(np.percentile(ordered, 50)),
        p50_low=float(ordered[rank]),
        p50_high=float(ordered[len(ordered) - 1 - rank]),
        p90=float(np.percentile(ordered, 90)),
        p99=float(np.percentile(ordered, 99)) if len(ordered) >= P99_SAMPLES else None,
    )


def median_rank(count: int) -> int:
    """Zero-based rank k: the median lies between the k-th smallest and the k-th largest with 95% or more.

    The number of samples below the median is binomial (n, 1/2); exact up to 1,000 samples, by the
    normal approximation above, where the two differ by at most one rank. Below 6 samples no pair
    reaches 95%: the result is 0, the whole range. (Hahn and Meeker, Statistical Intervals, 5.2.)
    """
    if count > EXACT_SAMPLES:
        return max(0, math.floor(count / 2 - 1.959964 * math.sqrt(count) / 2) - 1)
    limit, below, term, rank = 0.025 * 2.0**count, 0, 1, 0
    while below + term <= limit:
        below += term
        term = term * (count - rank) // (rank + 1)
        rank += 1
    return max(0, rank - 1)


def paired_ratio(
    blocks_a: Sequence[Sequence[float]],
    blocks_b: Sequence[Sequence[float]],
    *,
    a: str = "A",
    b: str = "B",
    clock: str = "host",
    seed: int = 0,
) -> PairedRatio:
    """Time of A over time of B from alternating blocks; above 1, B is faster.

    Each pair of neighbouring blocks gives one ratio of medians, so what slows both (another
    process, a falling clock) cancels. The estimate is the median of these ratios; its 95% interval
    comes from 10,000 bootstrap resamples of the blocks with a fixed seed (percentile method, Efron).

    Raises:
        InputError: no blocks, different numbers of blocks, or an empty block.
    """
    if not blocks_a or len(blocks_a) != len(blocks_b) or not all((*map(len, blocks_a), *map(len, blocks_b))):
        raise InputError(
            f"got {len(blocks_a)} blocks of {a} and {len(blocks_b)} of {b}",
            expected="the same number, at least one, each with samples",
        )
    ratios = np.array([np.median(x) / np.median(y) for x, y in zip(blocks_a, blocks_b)])
    low, high = _bootstrap(ratios, seed)
    return PairedRatio(
        a=a, b=b, clock=clock, blocks=len(ratios), ratio=float(np.median(ratios)), low=low, high=high
    )


def _bootstrap(values: NDArray[np.float64], seed: int) -> tuple[float, float]:
    picks = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(np.median(values[picks], axis=1), (2.5, 97.5))
    return float(low), float(high)
