"""What a calibration list shows beside what the network will see: classes and brightness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from edgeseg.core.frame import COLORS, FULL_SCALE, Frame
from edgeseg.core.ports import Array, Progress
from edgeseg.datasets.framed import frame_of_pixels, to_gray

if TYPE_CHECKING:
    from edgeseg.datasets import Split

BANDS = 8


class ClassCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        images: images of the list that show the class.
        share: of all labelled pixels of the list; `held_out` the same of the held-out images.
    """

    name: str
    images: int
    share: float
    held_out: float | None = None


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """Images whose mean brightness (luma, 255 in full light) is from `low` up to, not including, `high`:
    shares of 1."""

    low: int
    high: int
    share: float
    held_out: float | None = None


def shares_of(split: Split, progress: Progress) -> Array:
    """float64 [images, classes]: share of the labelled pixels of each image; a row of 0 without any."""
    count = len(split.classes)
    result = np.zeros((len(split), count))
    for index in range(len(split)):
        progress("reading labels", index, len(split))
        pixels = split.marks.shares(split.label(index), count)
        if split.ignore_index is not None and split.ignore_index < count:
            pixels[split.ignore_index] = 0
        result[index] = pixels / (pixels.sum() or 1.0)
    return result


def class_coverage(listed: Split, held: Split | None, progress: Progress) -> tuple[ClassCoverage, ...]:
    """By class, in the order of the ids; empty without labels."""
    if not listed.classes:
        return ()
    shares = shares_of(listed, progress)
    other = shares_of(held, progress).mean(axis=0) if held is not None and held.classes else None
    return tuple(
        ClassCoverage(
            name=info.name,
            images=int(np.count_nonzero(shares[:, index])),
            share=float(shares[:, index].mean()),
            held_out=None if other is None or index >= len(other) else float(other[index]),
        )
        for index, info in enumerate(listed.classes)
    )


def brightness(listed: Split, held: Split | None, progress: Progress) -> tuple[Band, ...]:
    """The histogram of mean brightness, in BANDS bands, of the channels that are light."""
    edges = np.linspace(0, 256, BANDS + 1)
    ours = _lights(listed, progress)
    theirs = [] if held is None else _lights(held, progress)
    full = _full_light([*ours, *theirs])
    shares = [_histogram(ours, full, edges), _histogram(theirs, full, edges)]
    return tuple(
        Band(
            low=int(edges[i]),
            high=int(edges[i + 1]),
            share=float(shares[0][i]),
            held_out=None if held is None else float(shares[1][i]),
        )
        for i in range(BANDS)
    )


class _Light(NamedTuple):
    """
    Attributes:
        mean, highest: of the values of an image, as they stand in it.
        stated: what its frame is; None: nobody says.
    """

    mean: float
    highest: float
    dtype: str
    stated: Frame | None


def _lights(split: Split, progress: Progress) -> list[_Light]:
    found = []
    for index in range(len(split)):
        progress("reading brightness", index, len(split))
        image = split.image(index)
        frame = split.frame or frame_of_pixels(image)
        channels = [frame.names.index(color) for color in COLORS] if frame.colored else frame.light
        light = image[..., channels]
        gray = to_gray(light) if frame.colored else light
        found.append(_Light(float(gray.mean()), float(light.max()), str(image.dtype), split.frame))
    return found


def _full_light(found: Sequence[_Light]) -> dict[str, float]:
    """By dtype, of images whose frame nobody states: the dtype's own, but as many bits as the values need of
    uint16, which cameras of 10, 12 and 14 bits do not fill."""
    result = dict(FULL_SCALE)
    for dtype in ("uint16", "float32"):
        highest = max((one.highest for one in found if one.dtype == dtype and not one.stated), default=0.0)
        least = FULL_SCALE["uint8" if dtype == "uint16" else dtype]
        result[dtype] = max(least, 2.0 ** int(highest).bit_length() - 1 if dtype == "uint16" else highest)
    return result


def _histogram(found: Sequence[_Light], full: Mapping[str, float], edges: Array) -> Array:
    lumas = [255 * one.mean / (one.stated.full if one.stated else full[one.dtype]) for one in found]
    return np.histogram(np.clip(lumas, 0, 255), edges)[0] / max(1, len(found))
