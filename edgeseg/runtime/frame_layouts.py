"""Frames of every layout to RGB and back, in NumPy: the reference of the nodes in the deploy graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.frame import COLORS, Frame
from edgeseg.core.ports import Array

Float = NDArray[np.float32]
KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
"""Weights of red and blue in luma: ITU-R BT.601-7, 2.5.1, and BT.709-6, item 3.2."""
LUMA_BLACK, LUMA_STEPS, CHROMA_STEPS, NEUTRAL = 16, 219, 224, 128
"""8 bits in limited range: BT.601-7, 2.5.3, and BT.709-6, item 3.4. Full range: JFIF (ITU-T T.871)."""


def unpacked(frames: Array, frame: Frame) -> Array:
    """Frames [N,...] as `frame` says, as channels [N,C,H,W].

    Packed ones keep their dtype; others become float32 RGB, from 0 to the full value, not rounded. Pixels
    that share a chroma all get it, as in OpenCV; colours that a mosaic lacks are averages of the nearest
    two or four, with the picture mirrored at its borders.
    """
    if frame.layout == "packed":
        return frames.transpose(0, 3, 1, 2)
    size = frame.picture_size(frames.shape)
    if frame.pattern:
        return _demosaiced(frames.astype(np.float32), frame.pattern)
    luma, chroma = _nv12(frames, size) if frame.layout == "nv12" else _yuyv(frames, size)
    scale, weights, offset = rgb_of_ycbcr(frame)
    colors: Array = np.einsum("cp,nphw->nchw", weights, chroma.astype(np.float32)) + offset[:, None, None]
    for axis in (2, 3):
        colors = np.repeat(colors, luma.shape[axis - 1] // colors.shape[axis], axis=axis)
    colors += luma[:, None].astype(np.float32) * scale
    np.clip(colors, 0, frame.full, out=colors)
    return colors


def cut(frame_array: Array, frame: Frame, corner: tuple[int, int], size: tuple[int, int]) -> Array:
    """The part of (height, width) of a frame, without N, that begins at the row and column `corner`: a view,
    but of `nv12`. Corner and size as `Frame.require_size` wants them."""
    (top, left), (height, width) = corner, size
    columns = slice(left, left + width)
    if frame.layout != "nv12":
        return frame_array[top : top + height, columns]
    luma = frame.picture_size(frame_array.shape)[0]
    half = slice(luma + top // 2, luma + (top + height) // 2)
    return np.concatenate([frame_array[top : top + height, columns], frame_array[half, columns]])


def packed_as(images: Array, frame: Frame) -> Array:
    """RGB [N,H,W,3] of the dtype of `frame` in its layout: the mean chroma of pixels that share it, or one
    colour of each pixel. Height and width as `Frame.require_size` wants them."""
    if frame.pattern:
        count, height, width, _ = images.shape
        mosaic = np.empty((count, height, width), images.dtype)
        for place, color in enumerate(frame.pattern):
            row, column = divmod(place, 2)
            mosaic[:, row::2, column::2] = images[:, row::2, column::2, COLORS.index(color)]
        return mosaic
    matrix, offset = ycbcr_of_rgb(frame)
    ycbcr = images.astype(np.float32) @ matrix.T + offset
    luma = _rounded(ycbcr[..., 0])
    count, height, width = luma.shape
    if frame.layout == "nv12":
        chroma = ycbcr[..., 1:].reshape(count, height // 2, 2, width // 2, 2, 2).mean(axis=(2, 4))
        return np.concatenate([luma, _rounded(chroma).reshape(count, height // 2, width)], axis=1)
    chroma = ycbcr[..., 1:].reshape(count, height, width // 2, 2, 2).mean(axis=3)
    return np.stack([luma, _rounded(chroma).reshape(count, height, width)], axis=3)


def ycbcr_of_rgb(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(matrix [3,3], offset [3]): (luma, Cb, Cr) = matrix @ rgb + offset, all of 8 bits."""
    standard, _, full_range = str(frame.ycbcr).partition("-")
    red, blue = KR_KB[standard]
    luma = np.array([red, 1 - red - blue, blue])
    cb = (np.array([0.0, 0.0, 1.0]) - luma) / (2 * (1 - blue))
    cr = (np.array([1.0, 0.0, 0.0]) - luma) / (2 * (1 - red))
    steps = (255, 255) if full_range else (LUMA_STEPS, CHROMA_STEPS)
    matrix = np.stack([luma * steps[0], cb * steps[1], cr * steps[1]]) / 255
    return matrix, np.array([0 if full_range else LUMA_BLACK, NEUTRAL, NEUTRAL], np.float64)


def rgb_of_ycbcr(frame: Frame) -> tuple[np.float32, Float, Float]:
    """(scale, weights [3,2], offset [3]): rgb = scale * luma + weights @ (Cb, Cr) + offset, cut to 0..255."""
    matrix, offset = ycbcr_of_rgb(frame)
    inverse = np.linalg.inv(matrix)
    return (
        np.float32(inverse[0, 0]),
        inverse[:, 1:].astype(np.float32),
        (-inverse @ offset).astype(np.float32),
    )


def demosaic_kernels(pattern: str) -> Float:
    """[12,1,4,4]: weights of 2x2 pixels and those around them, for each colour at each of the 2x2."""
    sides = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4
    cross = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
    mosaic = np.array(list(pattern)).reshape(2, 2)
    around = np.tile(np.roll(mosaic, (1, 1), (0, 1)), (2, 2))
    kernels = np.zeros((len(COLORS), 2, 2, 4, 4), np.float32)
    for color, name in enumerate(COLORS):
        for row in range(2):
            for column in range(2):
                kernels[color, row, column, row : row + 3, column : column + 3] = (
                    cross if name == "g" else sides
                )
        kernels[color] *= around == name
    return kernels.reshape(12, 1, 4, 4)


def _demosaiced(mosaic: Float, pattern: str) -> Float:
    count, height, width = mosaic.shape
    around = np.pad(mosaic, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    result = np.zeros((count, len(COLORS), height, width), np.float32)
    for index, kernel in enumerate(demosaic_kernels(pattern)[:, 0]):
        color, row, column = index // 4, index // 2 % 2, index % 2
        plane = result[:, color, row::2, column::2]
        for y, x in zip(*np.nonzero(kernel)):
            plane += kernel[y, x] * around[:, y : y + height - 1 : 2, x : x + width - 1 : 2]
    return result


def _nv12(frames: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Luma [N,H,W] and chroma [N,2,H/2,W/2]."""
    height, width = size
    chroma = frames[:, height:].reshape(len(frames), height // 2, width // 2, 2)
    return frames[:, :height], chroma.transpose(0, 3, 1, 2)


def _yuyv(frames: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Luma [N,H,W] and chroma [N,2,H,W/2]."""
    height, width = size
    chroma = frames[..., 1].reshape(len(frames), height, width // 2, 2)
    return frames[..., 0], chroma.transpose(0, 3, 1, 2)


def _rounded(values: NDArray[Any]) -> NDArray[np.uint8]:
    result: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return result
