"""Resizing as the engines do it: half-pixel centres, no antialiasing, borders repeated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size

Float = NDArray[np.float32]


def bilinear(maps: Float, size: Size) -> Float:
    """float32 [..., H, W] to [..., *size].

    ONNX `Resize` with `mode=linear`, `coordinate_transformation_mode=half_pixel`; the same as
    `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`.
    """
    if maps.shape[-2] != size[0]:
        low, high, weight = _neighbours(maps.shape[-2], size[0])
        maps = _blend(maps[..., low, :], maps[..., high, :], weight[:, None])
    if maps.shape[-1] != size[1]:
        low, high, weight = _neighbours(maps.shape[-1], size[1])
        maps = _blend(maps[..., low], maps[..., high], weight)
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
