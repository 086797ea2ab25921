"""Generated frames that are no scenes: textures as photographs have them, soft colours, a test card."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeseg.core.preprocess import Size

CONTRAST = 55.0
"""Standard deviation of a texture in grey levels; usual for photographs."""
ROUGHNESS = 0.9
"""Each octave has this power of two less amplitude than the one before, near the 1/f of natural images."""


def texture(size: Size, seed: int) -> NDArray[np.uint8]:
    """Noise of all octaves with the spectrum of natural images, uint8 [*size,3]."""
    random = np.random.default_rng(seed)
    octaves = range(2, max(3, min(size).bit_length()))
    layers = [
        _enlarged(random.standard_normal((2**k, 2**k, 3)), size) / 2 ** (k * ROUGHNESS) for k in octaves
    ]
    total = np.sum(layers, axis=0)
    return _pixels(128 + CONTRAST * (total - total.mean()) / total.std())


def colours(size: Size, seed: int) -> NDArray[np.uint8]:
    """Saturated colours that run into each other, uint8 [*size,3]."""
    return _pixels(_enlarged(np.random.default_rng(seed).uniform(0, 255, (8, 8, 3)), size))


def colour_bars(size: Size) -> NDArray[np.uint8]:
    """Bars of black, white, grey and pure colours, below them a ramp and fine stripes, uint8 [*size,3]."""
    height, width = size
    bars = np.array([(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)] + [(128, 128, 128)])
    card = np.empty((height, width, 3), np.float64)
    card[:] = bars[np.arange(width) * len(bars) // width]
    third = height // 3
    card[third : 2 * third] = np.linspace(0, 255, width)[:, None]
    card[2 * third :] = 255.0 * (np.arange(width) % 2)[:, None]
    return _pixels(card)


def _enlarged(values: NDArray[np.float64], size: Size) -> NDArray[np.float64]:
    planes = [Image.fromarray(values[..., c].astype(np.float32)) for c in range(3)]
    wanted = (size[1], size[0])
    return np.stack(
        [np.asarray(p.resize(wanted, Image.Resampling.BICUBIC), np.float64) for p in planes], axis=-1
    )


def _pixels(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(values.round(), 0, 255).astype(np.uint8)
