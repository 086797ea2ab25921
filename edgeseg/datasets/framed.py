"""Images as the frames of one camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.frame import Frame, usual_order
from edgeseg.core.preprocess import Size
from edgeseg.datasets import Dataset
from edgeseg.datasets.split import Pixels, Read, Split
from edgeseg.errors import DataError

LUMA = np.array([19595, 38470, 7471], np.int64)
"""Of red, green and blue, in units of 2^-16: ITU-R BT.601, as Pillow converts to grey."""
LOOKED_AT = 8
"""So many images, spread over a split, tell whether its frames are grey."""


def framed(dataset: Dataset, frame: Frame) -> Dataset:
    """The same images, each as `frame.shown`. Images that cannot be so are errors when they are read."""
    return _Framed(dataset, frame)


class _Framed:
    def __init__(self, dataset: Dataset, frame: Frame) -> None:
        self.name, self.classes, self.ignore_index = dataset.name, dataset.classes, dataset.ignore_index
        self.splits = dataset.splits
        self._split = dataset.split
        self._frame = frame

    def split(self, name: str) -> Split:
        return framed_split(self._split(name), self._frame)


def framed_split(split: Split, frame: Frame) -> Split:
    """The same for one split. Images are still identified by their pixels as stored.

    Raises:
        DataError: the layout states other channels.
    """
    order = () if split.generated else _order(split.frame, frame.shown)
    read = _Reads(split.read_image, frame, split.generated, order)
    stored = split.stored or split.read_image
    return replace(split, read_image=read, stored=stored, frame=frame.shown, generated=False)


@dataclass(frozen=True)
class _Reads:
    """Equal for an equal split, so that hashes of images are found again."""

    read: Read
    frame: Frame
    generated: bool
    order: tuple[int, ...]

    def __call__(self, name: str) -> Pixels:
        pixels = self.read(name)
        if self.order:
            pixels = np.ascontiguousarray(pixels[..., self.order])
        return imitated(pixels, self.frame) if self.generated else as_frame(pixels, self.frame, name)


def _order(have: Frame | None, want: Frame) -> tuple[int, ...]:
    """For each channel that is wanted, which one of an image it is; empty: as they stand."""
    if have is None or not (have.named and want.named) or have.channels != want.channels:
        return ()
    if set(have.names) != set(want.names):
        raise DataError(
            f"the images are {have}, the frames of the network are {want}",
            expected="the same channels",
            hint="correct `frame` in dataset.toml, or state --set frame=...",
        )
    return () if have.names == want.names else have.positions(want)


def as_frame(pixels: Pixels, frame: Frame, where: str) -> Pixels:
    """An image [H,W,C] as `frame.shown`: grey is repeated for colours, colours become grey.

    Raises:
        DataError: values of another dtype, values above the full one, or other channels.
    """
    if pixels.dtype != frame.dtype:
        raise DataError(
            f"{where} holds {pixels.dtype} {list(pixels.shape)}, the frames of the network are {frame}",
            expected=f"{frame.dtype}",
            hint=f"if the camera delivers {pixels.dtype}, say so: --set frame={frame_of_pixels(pixels)}; "
            "if not, convert the images",
        )
    found = _channels(pixels, frame, where)
    highest = found.max(initial=0)
    if frame.dtype == "float32" and not np.isfinite(found).all():
        raise DataError(f"{where} holds values that are no finite numbers", expected="finite values")
    if frame.dtype != "float32" and highest > frame.full:
        raise DataError(
            f"{where} holds the value {int(highest)}, the largest of a frame is {frame.full:g}",
            expected=f"values of {frame}",
            hint="correct the maximum of the frame, as in --set frame=gray:uint16:4095",
        )
    return found


def _channels(pixels: Pixels, frame: Frame, where: str) -> Pixels:
    have, want = pixels.shape[2], frame.channels
    if have == want:
        return pixels
    if have == 1 and want == 3 and frame.colored:
        return np.repeat(pixels, want, axis=2)
    if have == 3 and frame.order == "gray":
        return to_gray(pixels)
    raise DataError(
        f"{where} has {have} channel(s), the frames of the network have {want}: {frame}",
        expected=f"{want} channel(s)",
        hint=f"use such images, or state the frame that the camera delivers, as in --set frame={have}",
    )


def to_gray(pixels: Pixels) -> Pixels:
    """[H,W,3] RGB to [H,W,1] of the same dtype."""
    if pixels.dtype == np.float32:
        return (pixels @ (LUMA / 2**16).astype(np.float32))[..., None]
    gray = (pixels.astype(np.int64) @ LUMA + 2**15) >> 16
    return gray[..., None].astype(pixels.dtype)


def imitated(rgb: NDArray[np.uint8], frame: Frame) -> Pixels:
    """uint8 [H,W,3] RGB as if a camera of `frame` had taken it, as `frame.shown`: for generated images.

    Other channels than colours are grey, each darker than the one before. Frames of more than 8 bits get
    values between those of 8 bits, by a blur over two pixels, so that each of their bits counts.
    """
    if frame.shown == Frame():
        return rgb
    values = rgb.astype(np.float32)
    gray = to_gray(values)[..., 0]
    known = dict(zip("rgb", np.moveaxis(values, 2, 0)))
    other = (gray / (1 + i / frame.channels) for i in range(frame.channels))
    planes = np.stack([known.get(name, plane) for name, plane in zip(frame.shown.names, other)], axis=2)
    if frame.dtype == "uint8" and frame.full == 255:
        return np.rint(planes).astype(np.uint8)
    fine = (planes + np.roll(planes, 1, axis=0) * 3) / 4 * (frame.full / 255.0)
    return fine.astype(np.float32) if frame.dtype == "float32" else np.rint(fine).astype(frame.dtype)


def look(split: Split) -> tuple[Frame, Size]:
    """What the images of a split are, and (height, width) of the first; of both grey and colours: colours.

    Decodes as few images as tell it, each once: one of colours, up to LOOKED_AT of others.
    """
    first = split.image(0)
    size = (int(first.shape[0]), int(first.shape[1]))
    frame = split.frame or frame_of_pixels(first)
    if split.frame or frame.order == "rgb":
        return frame, size
    places = split.spread(min(LOOKED_AT, len(split)))[1:]
    others = (frame_of_pixels(split.image(place)) for place in places)
    return next((other for other in others if other.order == "rgb"), frame), size


def frame_of_pixels(pixels: NDArray[Any]) -> Frame:
    """One channel is grey, three are RGB, others have no names."""
    dtype: Any = str(pixels.dtype)
    return Frame(order=usual_order(pixels.shape[2]), dtype=dtype)


def as_picture(pixels: Pixels, frame: Frame) -> NDArray[np.uint8]:
    """Pixels as `frame.shown`, as uint8 [H,W,3] RGB to look at: its colours, else its first channel in grey.
    More than 8 bits are stretched from their 1st to their 99th percentile."""
    names = frame.shown.names
    places = [names.index(c) for c in "rgb"] if frame.colored else [0] * 3
    chosen = pixels[..., places]
    if frame.dtype == "uint8":
        return np.ascontiguousarray(chosen)
    low, high = np.percentile(chosen, (1, 99))
    scaled = (chosen.astype(np.float32) - low) * np.float32(255.0 / max(high - low, 1e-6))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
