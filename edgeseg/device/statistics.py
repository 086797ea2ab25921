"""Summaries of latency samples that assume no distribution."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np

from edgeseg.core.measurement import PairedRatio, Percentiles
from edgeseg.errors import InputError

P99_SAMPLES = 1000
"""Below this, fewer than ten samples lie beyond the 99th percentile."""
EXACT_SAMPLES = 1000
MIN_OPENINGS = 2
SMALL_T = (12.7062, 4.3027, 3.1824)
"""97.5% points of Student's t with 1, 2 and 3 degrees of freedom, where the series is too coarse."""

Blocks = Sequence[Sequence[float]]
"""Milliseconds of the runs of each block."""


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
    openings_a: Sequence[Blocks],
    openings_b: Sequence[Blocks],
    *,
    a: str = "A",
    b: str = "B",
    clock: str = "host",
) -> PairedRatio:
    """Time of A over time of B from alternating blocks of several openings; above 1, B is faster.

    Each pair of neighbouring blocks gives one ratio of medians, so what slows both (another process,
    a falling clock) cancels; an opening counts by the median of its ratios. Openings differ by luck
    (memory, threads, who was loaded first) that more blocks do not even out, so they are the sample:
    the estimate is their geometric mean, its 95% interval Student's t over their logarithms. A
    bootstrap, hierarchical or not, is too narrow with so few.

    Args:
        openings_a, openings_b: [opening][block][run] in milliseconds.

    Raises:
        InputError: fewer than two openings, or blocks that do not pair.
    """
    if len(openings_a) != len(openings_b) or len(openings_a) < MIN_OPENINGS:
        raise InputError(
            f"got {len(openings_a)} openings of {a} and {len(openings_b)} of {b}",
            expected=f"the same number, at least {MIN_OPENINGS}: one cannot tell how lucky it was",
        )
    logs = [_log_ratio(x, y, a, b) for x, y in zip(openings_a, openings_b)]
    mean = statistics.fmean(logs)
    half = t_quantile(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return PairedRatio(
        a=a,
        b=b,
        clock=clock,
        openings=len(logs),
        blocks=sum(map(len, openings_a)),
        ratio=math.exp(mean),
        low=math.exp(mean - half),
        high=math.exp(mean + half),
    )


def t_quantile(freedom: int) -> float:
    """The 97.5% point of Student's t, to 0.1% (Abramowitz and Stegun, 26.7.5)."""
    if freedom <= len(SMALL_T):
        return SMALL_T[freedom - 1]
    z = 1.959964
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / math.pow(freedom, power) for power, term in enumerate(terms, start=1))


def _log_ratio(blocks_a: Blocks, blocks_b: Blocks, a: str, b: str) -> float:
    """Of one opening."""
    if not blocks_a or len(blocks_a) != len(blocks_b) or not all((*map(len, blocks_a), *map(len, blocks_b))):
        raise InputError(
            f"got {len(blocks_a)} blocks of {a} and {len(blocks_b)} of {b} in one opening",
            expected="the same number, at least one, each with samples",
        )
    ratios = [statistics.median(x) / statistics.median(y) for x, y in zip(blocks_a, blocks_b)]
    return math.log(statistics.median(ratios))
