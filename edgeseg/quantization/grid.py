"""The integer grid of a tensor, and rounding to it: the arithmetic of QuantizeLinear / DequantizeLinear."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseg.core.int8 import Form

_ZERO: dict[Form, tuple[int, Literal["int8", "uint8"]]] = {
    "signed": (0, "int8"),
    "unsigned": (0, "uint8"),
    "offset": (128, "uint8"),
    "affine": (0, "uint8"),
}
Float = NDArray[np.floating]
SMALLEST_SCALE = 2.0**-30
"""Its reciprocal fits an int32: OpenVINO 2026.4 opens no engine with a smaller one ("could not append an
elementwise post-op", seen at 3e-10)."""
DEAD_SCALE = 1.0
"""Of a tensor of zeros, where any scale is right."""


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """`x = (q - zero_point) * scale` with q an int8 or uint8.

    >>> Grid(scale=0.5, zero_point=0, dtype="int8").bounds
    (-64.0, 63.5)
    """

    scale: float
    zero_point: int
    dtype: Literal["int8", "uint8"]

    @property
    def levels(self) -> tuple[int, int]:
        return (0, 255) if self.dtype == "uint8" else (-128, 127)

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value that can be written."""
        low, high = self.levels
        return (low - self.zero_point) * self.scale, (high - self.zero_point) * self.scale


def grid_for(low: float, high: float, form: Form) -> Grid:
    """The grid of a form that spans [low, high] and holds 0 exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        zero_point, dtype = _ZERO[form]
        return Grid(scale=DEAD_SCALE, zero_point=zero_point, dtype=dtype)
    if form == "unsigned":
        return Grid(scale=max(high / 255, SMALLEST_SCALE), zero_point=0, dtype="uint8")
    if form == "affine":
        scale = max((high - low) / 255, SMALLEST_SCALE)
        return Grid(scale=scale, zero_point=int(np.clip(round(-low / scale), 0, 255)), dtype="uint8")
    scale = max(-low / 128, high / 127, SMALLEST_SCALE)
    if form == "offset":
        return Grid(scale=scale, zero_point=128, dtype="uint8")
    return Grid(scale=scale, zero_point=0, dtype="int8")


def fake_quantize(values: Float, grid: Grid) -> Float:
    """`values` rounded to the grid (half to even, as ONNX says) and clamped to its bounds, in float."""
    low, high = grid.levels
    scaled = np.rint(values / grid.scale) + grid.zero_point
    result: Float = (np.clip(scaled, low, high) - grid.zero_point) * grid.scale
    return result
