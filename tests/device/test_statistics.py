from __future__ import annotations

import numpy as np
import pytest

from edgeseg.device.statistics import median_rank, paired_ratio, summarize
from edgeseg.errors import InputError

stats = pytest.importorskip("scipy.stats")


def samples(count, seed=0):
    return np.random.default_rng(seed).lognormal(1.0, 0.3, count).tolist()


@pytest.mark.parametrize("count", [1, 2, 7, 100, 1000])
def test_percentiles_are_those_of_scipy(count):
    data = samples(count)
    result = summarize(data)
    assert result.count == count
    assert (result.minimum, result.mean) == (min(data), pytest.approx(np.mean(data)))
    expected = stats.mstats.mquantiles(data, (0.5, 0.9), alphap=1, betap=1)
    assert (result.p50, result.p90) == pytest.approx(tuple(expected))


def test_p99_needs_a_thousand_samples():
    assert summarize(samples(999)).p99 is None
    data = samples(1000)
    assert summarize(data).p99 == pytest.approx(np.percentile(data, 99))


@pytest.mark.parametrize("count", [6, 7, 10, 25, 64, 100, 999, 1000, 1001, 1500, 5000, 100_000])
def test_the_interval_of_the_median_covers_95_percent_and_not_much_more(count):
    rank = median_rank(count)
    missed = 2 * stats.binom.cdf(rank, count, 0.5)
    narrower = 2 * stats.binom.cdf(rank + 1, count, 0.5)
    if count <= 1000:
        assert missed <= 0.05 < narrower
    else:
        assert 0.042 < missed < 0.0505


@pytest.mark.parametrize("count", [6, 10, 40, 101, 1000])
def test_the_interval_is_that_of_scipys_quantile_test(count):
    data = samples(count)
    expected = stats.quantile_test(data, q=0, p=0.5).confidence_interval(0.95)
    result = summarize(data)
    assert (result.p50_low, result.p50_high) == (expected.low, expected.high)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_samples_give_their_whole_range(count):
    data = samples(count)
    assert (summarize(data).p50_low, summarize(data).p50_high) == (min(data), max(data))


def test_no_samples_are_an_error():
    with pytest.raises(InputError, match="no samples"):
        summarize([])


def blocks(ratio, count=20, noise=0.02, seed=0):
    """A and B under a disturbance that both share, which triples the time of some pairs of blocks."""
    rng = np.random.default_rng(seed)
    disturbance = rng.choice([1.0, 3.0], count)
    a = [d * ratio * rng.normal(10, noise * 10, 30) for d in disturbance]
    b = [d * rng.normal(10, noise * 10, 30) for d in disturbance]
    return a, b


def test_the_paired_ratio_cancels_noise_that_both_share():
    result = paired_ratio(*blocks(1.25), a="x", b="y", clock="device")
    assert (result.a, result.b, result.clock, result.blocks) == ("x", "y", "device", 20)
    assert result.ratio == pytest.approx(1.25, rel=0.01)
    assert result.low <= result.ratio <= result.high
    assert result.high - result.low < 0.03


def test_the_interval_is_that_of_scipys_bootstrap():
    a, b = blocks(1.1, noise=0.2)
    result = paired_ratio(a, b)
    ratios = [np.median(x) / np.median(y) for x, y in zip(a, b, strict=True)]
    expected = stats.bootstrap(
        (ratios,), np.median, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    results = [paired_ratio(*blocks(1.1, noise=0.3, seed=seed)) for seed in range(60)]
    assert sum(r.low <= 1.1 <= r.high for r in results) >= 50


def test_the_interval_is_the_same_every_time():
    assert paired_ratio(*blocks(1.1)) == paired_ratio(*blocks(1.1))


@pytest.mark.parametrize(("a", "b"), [([], []), ([[1.0]], [[1.0], [2.0]]), ([[1.0]], [[]])])
def test_blocks_that_do_not_pair_are_an_error(a, b):
    with pytest.raises(InputError, match="blocks"):
        paired_ratio(a, b)
