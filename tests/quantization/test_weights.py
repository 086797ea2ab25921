from __future__ import annotations

import numpy as np
import pytest

from edgeseg.quantization.weights import bias_floor, dequantize_weight, quantize_weight, weight_scales

RNG = np.random.default_rng(0)
WEIGHT = (RNG.normal(0, 1, (6, 4, 3, 3)) * np.geomspace(0.01, 10, 6)[:, None, None, None]).astype(np.float32)


def round_trip(weight: np.ndarray, axis: int | None, **options: object) -> np.ndarray:
    bits = int(options.get("bits", 8))  # type: ignore[call-overload]
    scales = weight_scales(weight, axis, **options)  # type: ignore[arg-type]
    return dequantize_weight(quantize_weight(weight, scales, axis, bits), scales, axis)


@pytest.mark.parametrize("axis", [0, 1, None])
def test_rounding_error_is_at_most_half_a_level_of_the_channel(axis: int | None) -> None:
    scales = weight_scales(WEIGHT, axis)
    assert scales.shape == (() if axis is None else (WEIGHT.shape[axis],))
    shape = [1] * 4 if axis is None else [-1 if i == axis else 1 for i in range(4)]
    error = np.abs(round_trip(WEIGHT, axis) - WEIGHT)
    assert (error <= scales.reshape(shape) * 0.501).all()


def test_levels_are_symmetric() -> None:
    levels = quantize_weight(WEIGHT, weight_scales(WEIGHT, 0), 0)
    assert levels.dtype == np.int8 and levels.min() >= -127 and np.abs(levels).max() == 127


def test_mse_is_never_worse_than_min_max_and_better_with_an_outlier() -> None:
    weight = RNG.normal(0, 1, (3, 4, 5, 5)).astype(np.float32)
    weight[1, 0, 0, 0] = 40

    def error(method: str) -> np.ndarray:
        return ((round_trip(weight, 0, method=method, bits=4) - weight) ** 2).sum(axis=(1, 2, 3))

    assert (error("mse") <= error("min-max") * 1.0001).all()
    assert error("mse")[0] < error("min-max")[0]


def test_four_bits_use_fifteen_levels() -> None:
    levels = quantize_weight(WEIGHT, weight_scales(WEIGHT, 0, bits=4), 0, bits=4)
    assert np.unique(levels).tolist() == list(range(-7, 8))


def test_a_dead_channel_does_not_lose_its_bias() -> None:
    weight = np.stack([np.full((1, 3, 3), 1e-22), np.ones((1, 3, 3))]).astype(np.float32)
    bias = np.array([0.1, 0.1], np.float32)
    scales = weight_scales(weight, 0, floor=bias_floor(bias, 0.02, 2))
    in_levels = bias / (0.02 * scales)
    assert np.abs(in_levels).max() <= 2.0**24 * 1.01
    assert scales[1] == pytest.approx(1 / 127)


def test_bias_floor_of_a_grouped_transposed_convolution() -> None:
    bias = np.array([1, 2, 3, -8], np.float32)
    assert (bias_floor(bias, 1.0, 2) * 2.0**24).tolist() == [3, 8]


def test_zero_weights_stay_zero() -> None:
    zeros = np.zeros((2, 1, 3, 3), np.float32)
    assert not round_trip(zeros, 0).any()
