"""Resizing as the engines do it: half-pixel centres, no antialiasing, borders repeated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size

Float = NDArray[np.float32]
Rows = Callable[[int, int], Float]
"""Gives the rows of a map from the first to before the second, float32 [..., rows, W]."""


def bilinear(maps: Float, size: Size) -> Float:
    """float32 [..., H, W] to [..., *size].

    ONNX `Resize` with `mode=linear`, `coordinate_transformation_mode=half_pixel`; the same as
    `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`.
    """
    return bilinear_rows(lambda start, stop: maps[..., start:stop, :], maps.shape[-2], size, 0, size[0])


def bilinear_rows(read: Rows, height: int, size: Size, start: int, stop: int) -> Float:
    """The rows from `start` to before `stop` of what `bilinear` gives, the same numbers.

    Args:
        read: rows of a map of this `height`; called once, for those that are needed.
    """
    if height == size[0]:
        maps = read(start, stop)
    else:
        low, high, weight = _neighbours(height, size[0])
        low, high, weight = low[start:stop], high[start:stop], weight[start:stop]
        first = int(low[0])
        given = read(first, int(high[-1]) + 1)
        below, above = np.take(given, low - first, axis=-2), np.take(given, high - first, axis=-2)
        maps = _blend(below, above, weight[:, None])
    if maps.shape[-1] != size[1]:
        low, high, weight = _neighbours(maps.shape[-1], size[1])
        maps = _blend(np.take(maps, low, axis=-1), np.take(maps, high, axis=-1), weight)
    return maps


def nearest(maps: Array, size: Size) -> Array:
    """Any dtype [..., H, W] to [..., *size]: output i reads input floor((i + 0.5) * in / out).

    ONNX `Resize` with `mode=nearest`, `coordinate_transformation_mode=half_pixel`,
    `nearest_mode=round_prefer_ceil`; the same as torch's `mode="nearest-exact"`. The same array when it fits.
    """
    if maps.shape[-2:] == size:
        return maps
    rows, columns = (
        (2 * np.arange(out) + 1) * length // (2 * out) for length, out in zip(maps.shape[-2:], size)
    )
    return maps[..., rows[:, None], columns]


def _neighbours(length: int, out: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Float]:
    """For each output position the two input positions it lies between and the weight of the second."""
    position = np.clip((np.arange(out) + 0.5) * (length / out) - 0.5, 0.0, length - 1)
    low = position.astype(np.intp)
    high = np.minimum(low + 1, length - 1)
    return low, high, (position - low).astype(np.float32)


def _blend(low: Float, high: Float, weight: Float) -> Float:
    high -= low
    high *= weight
    high += low
    return high
