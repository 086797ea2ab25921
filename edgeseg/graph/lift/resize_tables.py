"""Resize along one axis as a table: which input pixel, or which weights, make an output pixel.

Coordinates are computed in float32, as ONNX Runtime does, because floor and ceil turn on the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Axis:
    """One resized axis. `scale`: output per input pixel; `roi`: start and end for tf_crop_and_resize."""

    size: int
    out: int
    scale: float
    roi: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Rule:
    """The attributes of Resize that shape a table."""

    mode: str = "nearest"
    coordinates: str = "half_pixel"
    nearest: str = "round_prefer_floor"
    cubic_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False


def source_positions(axis: Axis, coordinates: str) -> Floats:
    """Where each output pixel lies in the input, in pixels.

    Raises:
        ValueError: unknown coordinate transformation.
    """
    f = np.float32
    at, scale = np.arange(axis.out, dtype=f), f(axis.scale)
    centre: Floats = (at + f(0.5)) / scale
    half: Floats = centre - f(0.5)
    if coordinates == "half_pixel":
        return half
    if coordinates == "pytorch_half_pixel":
        return half if axis.out > 1 else np.zeros(axis.out, f)
    if coordinates == "half_pixel_symmetric":
        adjustment = f(axis.out) / (scale * f(axis.size))
        return f(axis.size / 2) * (f(1) - adjustment) + centre - f(0.5)
    if coordinates == "asymmetric":
        return at / scale
    if coordinates == "align_corners":
        return at * f(axis.size - 1) / f(max(axis.out - 1, 1))
    if coordinates == "tf_crop_and_resize":
        start, end = (f(v) * f(axis.size - 1) for v in axis.roi)
        if axis.out == 1:
            return np.full(1, (start + end) / f(2), f)
        return start + at * (end - start) / f(axis.out - 1)
    raise ValueError(f"unknown coordinate_transformation_mode '{coordinates}'")


def outside(axis: Axis, coordinates: str) -> NDArray[np.bool_]:
    """Output pixels that tf_crop_and_resize extrapolates."""
    at = source_positions(axis, coordinates)
    return ((at < 0) | (at > axis.size - 1)) & (coordinates == "tf_crop_and_resize")


def nearest_table(axis: Axis, rule: Rule) -> NDArray[np.int64]:
    """Input index of each output pixel."""
    at, half = source_positions(axis, rule.coordinates), np.float32(0.5)
    rounded = {
        "round_prefer_floor": np.ceil(at - half),
        "round_prefer_ceil": np.floor(at + half),
        "floor": np.floor(at),
        "ceil": np.ceil(at),
    }[rule.nearest]
    return np.clip(rounded.astype(np.int64), 0, axis.size - 1)


def weight_table(axis: Axis, rule: Rule) -> Floats:
    """Weights [out, size] of linear or cubic interpolation; pixels beyond the border repeat it."""
    at = source_positions(axis, rule.coordinates).astype(np.float64)
    shrink = min(axis.scale, 1.0) if rule.antialias else 1.0
    support = (1 if rule.mode == "linear" else 2) / shrink
    first = np.floor(at - support).astype(np.int64)
    taps = first[:, None] + np.arange(int(np.ceil(2 * support)) + 2)
    distance = np.abs(taps - at[:, None]) * shrink
    weights = np.clip(1 - distance, 0, None) if rule.mode == "linear" else _cubic(distance, rule.cubic_a)
    if rule.antialias:
        weights = weights / weights.sum(1, keepdims=True)
    if rule.exclude_outside:
        weights = np.where((taps < 0) | (taps >= axis.size), 0, weights)
        weights = weights / weights.sum(1, keepdims=True)
    table = np.zeros((axis.out, axis.size))
    np.add.at(table, (np.arange(axis.out)[:, None], np.clip(taps, 0, axis.size - 1)), weights)
    return table.astype(np.float32)


def _cubic(distance: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """Keys' kernel (1981)."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))
