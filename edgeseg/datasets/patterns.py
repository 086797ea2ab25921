"""Generated frames that are no scenes: textures as photographs have them, soft colours, a test card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeseg.core.preprocess import Size
from edgeseg.runtime.strips import strips

CONTRAST = 55.0
"""Standard deviation of a texture in grey levels; usual for photographs."""
ROUGHNESS = 0.9
"""Each octave has this power of two less amplitude than the one before, near the 1/f of natural images."""


def texture(size: Size, seed: int) -> NDArray[np.uint8]:
    """Noise of all octaves with the spectrum of natural images, uint8 [*size,3]."""
    random = np.random.default_rng(seed)
    total = np.zeros((3, *size))
    for k in range(2, max(3, min(size).bit_length())):
        octave = random.standard_normal((2**k, 2**k, 3))
        for plane, enlarged in zip(total, _enlarged(octave, size)):
            for start, stop in strips(size):
                plane[start:stop] += enlarged[start:stop].astype(np.float64) / 2 ** (k * ROUGHNESS)
    grey = np.ascontiguousarray(np.moveaxis(total, 0, -1))
    del total
    mean, deviation = grey.mean(), grey.std()
    return _pixels(128 + CONTRAST * (grey[start:stop] - mean) / deviation for start, stop in strips(size))


def colours(size: Size, seed: int) -> NDArray[np.uint8]:
    """Saturated colours that run into each other, uint8 [*size,3]."""
    planes = list(_enlarged(np.random.default_rng(seed).uniform(0, 255, (8, 8, 3)), size))
    return _pixels(np.stack([plane[start:stop] for plane in planes], -1) for start, stop in strips(size))


def colour_bars(size: Size) -> NDArray[np.uint8]:
    """Bars of black, white, grey and pure colours, below them a ramp and fine stripes, uint8 [*size,3]."""
    height, width = size
    bars = np.array([(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)] + [(128, 128, 128)])
    card = np.empty((height, width, 3), np.float64)
    card[:] = bars[np.arange(width) * len(bars) // width]
    third = height // 3
    card[third : 2 * third] = np.linspace(0, 255, width)[:, None]
    card[2 * third :] = 255.0 * (np.arange(width) % 2)[:, None]
    return _pixels([card])


def _enlarged(values: NDArray[np.float64], size: Size) -> Iterator[NDArray[np.float32]]:
    """Of [h,w,3], one [*size] after the other."""
    for plane in np.moveaxis(values, 2, 0):
        image = Image.fromarray(plane.astype(np.float32))
        yield np.asarray(image.resize((size[1], size[0]), Image.Resampling.BICUBIC))


def _pixels(rows: Iterable[NDArray[np.floating]]) -> NDArray[np.uint8]:
    """Of strips of rows [rows,W,3]."""
    return np.concatenate([np.clip(part.round(), 0, 255).astype(np.uint8) for part in rows])
