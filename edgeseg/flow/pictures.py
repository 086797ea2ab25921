"""Resizing of frames and class maps between an image and the camera an engine was built for."""

from __future__ import annotations

import numpy as np

from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size


def resize_frame(image: Array, size: Size) -> Array:
    """uint8 [H,W,3] to (height, width), bilinear with antialias; the same array when it fits."""
    return _resize(image, size, nearest=False)


def resize_class_map(class_map: Array, size: Size) -> Array:
    """uint8 [H,W] to (height, width), nearest neighbour; the same array when it fits."""
    return _resize(class_map, size, nearest=True)


def _resize(array: Array, size: Size, *, nearest: bool) -> Array:
    if array.shape[:2] == size:
        return array
    from PIL import Image

    method = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(array).resize((size[1], size[0]), method))
