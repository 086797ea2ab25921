"""Weights as int8: one scale per output channel."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

WeightMethod = Literal["min-max", "mse"]
Float32 = NDArray[np.float32]
CANDIDATES = np.linspace(1.0, 0.4, 41)
"""Shares of the largest |weight| that the MSE search tries."""

_SMALLEST = float(np.finfo(np.float32).tiny) * 256
"""Dividing by it stays finite in float32."""
LARGEST_BIAS = 2.0**24
"""Of a bias in units of input scale x weight scale: integers up to there are exact in float32."""


def bias_floor(bias: Float32, input_scale: float, channels: int) -> Float32:
    """Smallest weight scale per channel that lets the accumulator hold the bias, [channels].

    A channel with dead weights and a living bias may otherwise lose that bias, which ONNX Runtime divides by
    a scale of 1e-20 (seen in the first layer of a trained Mobile-UNet). In a grouped ConvTranspose a channel
    of the weight serves one channel per group.
    """
    floor = np.abs(bias.reshape(-1)) / (input_scale * LARGEST_BIAS)
    if floor.size % channels:
        return np.full(channels, floor.max(), np.float32)
    return floor.reshape(-1, channels).max(axis=0).astype(np.float32)


def weight_scales(
    weight: Float32,
    axis: int | None,
    method: WeightMethod = "min-max",
    bits: int = 8,
    floor: Float32 | float = 0.0,
) -> Float32:
    """Symmetric scales, [channels] along `axis` or [] for one.

    Args:
        method: `min-max` clips nothing; `mse` takes the scale of least squared error per channel.
        bits: levels are -(2^(bits-1) - 1) ... 2^(bits-1) - 1: symmetric, so that signs cost nothing.
        floor: scales are at least this, per channel; see `bias_floor`.
    """
    levels = 2 ** (bits - 1) - 1
    rows = _rows(weight, axis)
    largest = np.maximum(np.abs(rows).max(axis=1), _SMALLEST * levels)
    scales = largest / levels
    if method == "mse":
        errors = np.stack([_error(rows, scales * share, levels) for share in CANDIDATES])
        scales = scales * CANDIDATES[errors.argmin(axis=0)]
    scales = np.maximum(scales, floor if axis is not None else np.max(floor))
    return scales.astype(np.float32).reshape(() if axis is None else (-1,))


def quantize_weight(weight: Float32, scales: Float32, axis: int | None, bits: int = 8) -> NDArray[np.int8]:
    """`weight` as int8 levels."""
    levels = 2 ** (bits - 1) - 1
    scaled = np.rint(weight / _along(scales, axis, weight.ndim))
    return np.clip(scaled, -levels, levels).astype(np.int8)


def dequantize_weight(levels: NDArray[np.int8], scales: Float32, axis: int | None) -> Float32:
    return levels.astype(np.float32) * _along(scales, axis, levels.ndim)


def _along(scales: Float32, axis: int | None, rank: int) -> Float32:
    if axis is None:
        return scales
    return scales.reshape([-1 if i == axis else 1 for i in range(rank)])


def _rows(weight: Float32, axis: int | None) -> NDArray[np.float64]:
    values = weight.astype(np.float64)
    if axis is None:
        return values.reshape(1, -1)
    return np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)


def _error(rows: NDArray[np.float64], scales: NDArray[np.float64], levels: int) -> NDArray[np.float64]:
    column = scales[:, None]
    rounded = np.clip(np.rint(rows / column), -levels, levels) * column
    error: NDArray[np.float64] = ((rounded - rows) ** 2).sum(axis=1)
    return error
