"""A histogram that grows with what it sees and takes the memory it took at first."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgeseg.quantization.grid import Float

BINS = 4096
"""Half of them below 0. Powers of two, so that growing merges whole bins and loses no count."""


class Histogram:
    """Counts of finite values over [-width, width), width a power of two.

    Attributes:
        low, high: smallest and largest value seen, exact.
        average_low, average_high: of the batches: exponential, 1/n until n = 100.
        batches: how many.
    """

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.width = 0.0
        self.low = math.inf
        self.high = -math.inf
        self.average_low = 0.0
        self.average_high = 0.0
        self.batches = 0

    def add(self, values: Float, low: float, high: float) -> None:
        """Count a batch.

        Args:
            values: of any shape, all within [low, high]; may be a sample of the batch.
            low, high: extremes of the whole batch.
        """
        self.batches += 1
        weight = max(1 / self.batches, 0.01)
        self.average_low += weight * (low - self.average_low)
        self.average_high += weight * (high - self.average_high)
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._grow(max(-low, high))
        if self.width:
            step = 2 * self.width / BINS
            index = (values.reshape(-1) * (1 / step) + BINS / 2).astype(np.int32)
            self.counts += np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)

    def merge(self, other: Histogram) -> Histogram:
        """Both together, as one tensor that takes turns."""
        both = Histogram()
        both.low, both.high = min(self.low, other.low), max(self.high, other.high)
        both.average_low = min(self.average_low, other.average_low)
        both.average_high = max(self.average_high, other.average_high)
        both.batches = max(self.batches, other.batches)
        both.width = max(self.width, other.width)
        for part in (self, other):
            if part.width:
                both.counts += _halved(part.counts, round(math.log2(both.width / part.width)))
        return both

    @property
    def centers(self) -> NDArray[np.float64]:
        """Middle of every bin."""
        step = 2 * self.width / BINS
        middle: NDArray[np.float64] = np.arange(0.5, BINS, dtype=np.float64) - BINS / 2
        return middle * np.float64(step)

    def _grow(self, largest: float) -> None:
        if largest <= self.width:
            return
        width = 2.0 ** math.ceil(math.log2(largest))
        if self.width:
            self.counts = _halved(self.counts, round(math.log2(width / self.width)))
        self.width = width


def _halved(counts: NDArray[np.int64], times: int) -> NDArray[np.int64]:
    """The same counts over a range 2^times as wide."""
    if times >= int(math.log2(BINS)) - 1:
        half = counts.reshape(2, -1).sum(axis=1)
        wide = np.zeros_like(counts)
        wide[BINS // 2 - 1 : BINS // 2 + 1] = half
        return wide
    kept = BINS >> times
    wide = np.zeros_like(counts)
    start = (BINS - kept) // 2
    wide[start : start + kept] = counts.reshape(kept, -1).sum(axis=1)
    return wide
