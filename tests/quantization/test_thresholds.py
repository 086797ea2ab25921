from __future__ import annotations

import numpy as np
import pytest

from edgeseg.quantization.grid import fake_quantize, grid_for
from edgeseg.quantization.ranges.histogram import Histogram
from edgeseg.quantization.ranges.thresholds import RangeMethod, choose_grid, saturated

RNG = np.random.default_rng(0)
BULK = RNG.normal(0, 1, 20000)
WITH_OUTLIER = np.append(BULK, 60.0)


def histogram_of(*batches: np.ndarray) -> Histogram:
    histogram = Histogram()
    for batch in batches:
        histogram.add(batch, float(batch.min()), float(batch.max()))
    return histogram


def test_min_max_clips_nothing() -> None:
    grid = choose_grid(histogram_of(WITH_OUTLIER), method="min-max", form="signed")
    assert grid.bounds[1] == pytest.approx(60.0)
    assert saturated(histogram_of(WITH_OUTLIER), grid) == 0


def test_moving_average_is_the_mean_of_the_extremes() -> None:
    batches = [np.array([0.0, top]) for top in (1.0, 2.0, 6.0)]
    grid = choose_grid(histogram_of(*batches), method="moving-average", form="unsigned")
    assert grid.bounds[1] == pytest.approx(3.0)


def test_percentile_is_numpys() -> None:
    values = np.abs(BULK)
    grid = choose_grid(histogram_of(values), method="percentile", form="unsigned", percentile=99.0)
    assert grid.bounds[1] == pytest.approx(np.percentile(values, 99.0), rel=0.01)


def test_percentile_splits_what_it_leaves_out_of_a_signed_tensor() -> None:
    grid = choose_grid(histogram_of(BULK), method="percentile", form="affine", percentile=98.0)
    low, high = np.percentile(BULK, [1, 99])
    assert grid.bounds == pytest.approx((low, high), abs=0.03)


@pytest.mark.parametrize("form", ["signed", "unsigned", "affine"])
def test_mse_is_the_least_squared_error(form: str) -> None:
    values = np.abs(WITH_OUTLIER) if form == "unsigned" else WITH_OUTLIER
    low, high = values.min(), values.max()

    def error(grid) -> float:  # type: ignore[no-untyped-def]
        return float(((values - fake_quantize(values, grid)) ** 2).mean())

    best = min(error(grid_for(low * s, high * s, form)) for s in np.linspace(0.02, 1, 300))  # type: ignore[arg-type]
    chosen = choose_grid(histogram_of(values), method="mse", form=form)  # type: ignore[arg-type]
    assert error(chosen) <= 1.1 * best


def test_entropy_leaves_a_far_outlier_out() -> None:
    grid = choose_grid(histogram_of(WITH_OUTLIER), method="entropy", form="signed")
    assert grid.bounds[1] < 30
    assert 0 < saturated(histogram_of(WITH_OUTLIER), grid) < 0.01


@pytest.mark.parametrize("method", ["min-max", "moving-average", "percentile", "mse", "entropy"])
def test_zeros_give_a_grid_with_every_method(method: RangeMethod) -> None:
    grid = choose_grid(histogram_of(np.zeros(8)), method=method, form="signed")
    assert fake_quantize(np.zeros(2), grid).tolist() == [0, 0]
