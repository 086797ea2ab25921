"""From a histogram to the range that is quantised: arithmetic, so that methods can be compared for free."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.int8 import Form
from edgeseg.quantization.grid import Grid, fake_quantize, grid_for
from edgeseg.quantization.ranges.histogram import BINS, Histogram

RangeMethod = Literal["min-max", "moving-average", "percentile", "mse", "entropy"]
SHARES = np.linspace(1.0, 0.1, 91)
"""Shares of the whole range that the searches try, widest first."""


def choose_grid(histogram: Histogram, *, method: RangeMethod, form: Form, percentile: float = 99.99) -> Grid:
    """The grid a method chooses.

    Args:
        method: `min-max`: all that was seen; `moving-average`: mean of the extremes of the batches;
            `percentile`: what leaves (100 - percentile) % outside, half at each end of a signed tensor;
            `mse`: least squared error, of rounding and clipping together; `entropy`: least
            Kullback-Leibler divergence (Migacz, "8-bit inference with TensorRT", 2017).
    """
    low, high = histogram.low, histogram.high
    if method == "moving-average":
        low, high = max(low, histogram.average_low), min(high, histogram.average_high)
    elif method == "percentile":
        low, high = _percentile(histogram, percentile)
    elif method in ("mse", "entropy") and histogram.width:
        score = _squared_error if method == "mse" else _divergence
        grids = [grid_for(low * s, high * s, form) for s in SHARES]
        filled = histogram.counts > 0
        values, counts = histogram.centers[filled], histogram.counts[filled].astype(np.float64)
        return min(grids, key=lambda grid: score(values, counts, grid))
    return grid_for(low, high, form)


def saturated(histogram: Histogram, grid: Grid) -> float:
    """Share of the values that lie more than rounding outside what the grid can write."""
    total = int(histogram.counts.sum())
    low, high = grid.bounds
    slack = 2 * histogram.width / BINS + grid.scale
    outside = (histogram.centers > high + slack) | (histogram.centers < low - slack)
    return float(histogram.counts[outside].sum() / total) if total else 0.0


def _percentile(histogram: Histogram, percentile: float) -> tuple[float, float]:
    total = histogram.counts.sum()
    if not total:
        return histogram.low, histogram.high
    outside = total * (1 - percentile / 100)
    step = 2 * histogram.width / BINS
    edges = (np.arange(BINS + 1) - BINS / 2) * step
    below = np.cumsum(histogram.counts)
    tail = outside if histogram.low >= 0 else outside / 2
    first = int(np.searchsorted(below, tail, side="right")) if histogram.low < 0 else 0
    last = int(np.searchsorted(below, total - tail, side="left"))
    return max(histogram.low, float(edges[first])), min(histogram.high, float(edges[last + 1]))


def _squared_error(values: NDArray[np.float64], counts: NDArray[np.float64], grid: Grid) -> float:
    """Where a level is narrower than a bin, rounding of the centre says nothing: its expectation counts."""
    error = (values - fake_quantize(values, grid)) ** 2
    low, high = grid.bounds
    inside = (values > low) & (values < high)
    error[inside] = grid.scale**2 / 12
    return float(error @ counts)


def _divergence(values: NDArray[np.float64], counts: NDArray[np.float64], grid: Grid) -> float:
    """KL(P || Q): P has what is clipped in its end bins; Q spreads each level over the bins it stands for."""
    low, high = grid.bounds
    inside = (values >= low - grid.scale / 2) & (values <= high + grid.scale / 2)
    if inside.sum() < 2:
        return float("inf")
    reference = counts[inside].copy()
    reference[0] += counts[values < values[inside][0]].sum()
    reference[-1] += counts[values > values[inside][-1]].sum()
    level = np.rint(values[inside] / grid.scale).astype(np.int64)
    level -= level.min()
    width = np.bincount(level)
    spread = (np.bincount(level, weights=counts[inside]) / np.maximum(width, 1))[level]
    p, q = reference / reference.sum(), spread / spread.sum()
    return float((p * np.log(np.maximum(p, 1e-300) / np.maximum(q, 1e-300))).sum())
