from __future__ import annotations

import numpy as np
import pytest

from edgeseg.device.statistics import median_rank, paired_ratio, summarize, t_quantile
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


def openings(ratio=1.0, count=6, blocks=4, *, luck=0.0, noise=0.02, first=0.0, seed=0):
    """A and B, [opening][block][run], under a disturbance of both, which triples some pairs of blocks.

    luck: spread of the ratio from opening to opening; first: what the one that was opened first loses.
    """
    rng = np.random.default_rng(seed)
    sides = [], []
    for opening in range(count):
        lucky = ratio * np.exp(rng.normal(0, luck) + first * (0.5 if opening % 2 == 0 else -0.5))
        pairs = [(d * lucky, d) for d in rng.choice([1.0, 3.0], blocks)]
        for side, one in enumerate(sides):
            one.append([(pair[side] * rng.normal(10, noise * 10, 8)).tolist() for pair in pairs])
    return sides


def test_the_paired_ratio_cancels_noise_that_both_share():
    result = paired_ratio(*openings(1.25), a="x", b="y", clock="device")
    assert (result.a, result.b, result.clock) == ("x", "y", "device")
    assert (result.openings, result.blocks) == (6, 24)
    assert result.ratio == pytest.approx(1.25, rel=0.01)
    assert result.low <= result.ratio <= result.high
    assert result.high - result.low < 0.03


def test_the_interval_is_scipys_t_interval_over_the_openings():
    a, b = openings(1.1, luck=0.05, count=9)
    result = paired_ratio(a, b)
    logs = [
        np.log(np.median([np.median(x) / np.median(y) for x, y in zip(one, other, strict=True)]))
        for one, other in zip(a, b, strict=True)
    ]
    expected = stats.ttest_1samp(logs, 0.0).confidence_interval(0.95)
    found = np.log([result.ratio, result.low, result.high])
    assert found == pytest.approx([np.mean(logs), *expected], rel=1e-3)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 7, 11, 30, 200])
def test_the_t_quantile_is_scipys(freedom):
    assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-3)


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("luck", [0.0, 0.015])
def test_equal_sides_are_told_apart_in_about_one_of_twenty_comparisons(count, luck):
    """Blocks agree closely within an opening, and openings do not: more blocks do not help."""
    results = [paired_ratio(*openings(count=count, luck=luck, seed=seed)) for seed in range(400)]
    assert 0.92 <= np.mean([r.low <= 1.0 <= r.high for r in results]) <= 0.98


def test_six_openings_with_the_luck_seen_on_a_cpu_tell_three_percent():
    results = [paired_ratio(*openings(luck=0.015, seed=seed)) for seed in range(200)]
    assert np.median([(r.high - r.low) / 2 for r in results]) < 0.02


def test_who_is_opened_first_does_not_decide():
    results = [paired_ratio(*openings(first=0.03, luck=0.01, seed=seed)) for seed in range(200)]
    assert np.mean([r.ratio for r in results]) == pytest.approx(1.0, abs=0.002)
    assert np.mean([r.low <= 1.0 <= r.high for r in results]) >= 0.95


@pytest.mark.parametrize(("a", "b"), [([[[1.0]]], [[[1.0]]]), ([], []), ([[[1.0]]] * 3, [[[1.0]]] * 2)])
def test_one_opening_is_an_error(a, b):
    with pytest.raises(InputError, match="openings"):
        paired_ratio(a, b)


@pytest.mark.parametrize(("a", "b"), [([], []), ([[1.0]], [[1.0], [2.0]]), ([[1.0]], [[]])])
def test_blocks_that_do_not_pair_are_an_error(a, b):
    with pytest.raises(InputError, match="blocks"):
        paired_ratio([a, a], [b, b])
