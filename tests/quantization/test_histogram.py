from __future__ import annotations

import numpy as np

from edgeseg.quantization.ranges.histogram import BINS, Histogram


def filled(*batches: np.ndarray) -> Histogram:
    histogram = Histogram()
    for batch in batches:
        histogram.add(batch, float(batch.min()), float(batch.max()))
    return histogram


def test_growing_loses_no_value_and_keeps_the_bins() -> None:
    rng = np.random.default_rng(0)
    batches = [rng.normal(0, scale, 1000) for scale in (0.01, 3, 0.5, 40)]
    histogram = filled(*batches)
    everything = np.concatenate(batches)
    edges = np.linspace(-histogram.width, histogram.width, BINS + 1)
    expected, _ = np.histogram(everything, edges)
    assert histogram.counts.sum() == 4000
    assert np.abs(np.cumsum(histogram.counts) - np.cumsum(expected)).max() <= 1
    assert (histogram.low, histogram.high) == (everything.min(), everything.max())


def test_memory_does_not_grow_with_the_batches() -> None:
    rng = np.random.default_rng(1)
    few, many = (filled(*(rng.normal(0, 1 + i, 50) for i in range(n))) for n in (2, 200))
    assert few.counts.nbytes == many.counts.nbytes
    assert set(vars(few)) == set(vars(many))


def test_merging_is_counting_both() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(0, 1, 500), rng.normal(0, 30, 700)
    both, merged = filled(a, b), filled(a).merge(filled(b))
    assert (both.counts == merged.counts).all()
    assert (both.low, both.high, both.width) == (merged.low, merged.high, merged.width)


def test_a_tensor_that_jumps_by_many_powers_of_two() -> None:
    histogram = filled(np.array([-1e-9, 1e-9]), np.array([-1e9, 1e9]))
    assert histogram.counts.sum() == 4
    assert (histogram.low, histogram.high) == (-1e9, 1e9)


def test_averages_follow_the_batches() -> None:
    histogram = filled(np.array([0.0, 1.0]), np.array([0.0, 3.0]), np.array([-3.0, 2.0]))
    assert histogram.average_high == 2.0
    assert histogram.average_low == -1.0


def test_zeros_only() -> None:
    histogram = filled(np.zeros(10))
    assert histogram.width == 0 and histogram.low == histogram.high == 0
