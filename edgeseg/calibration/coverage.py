"""What a calibration list shows beside what the network will see: classes and brightness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

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
    """Images whose mean brightness (luma, 0-255) is from `low` up to, not including, `high`: shares of 1."""

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
    """The histogram of mean brightness, in BANDS bands."""
    edges = np.linspace(0, 256, BANDS + 1)
    ours = np.histogram(_lumas(listed, progress), edges)[0] / len(listed)
    theirs = None if held is None else np.histogram(_lumas(held, progress), edges)[0] / len(held)
    return tuple(
        Band(
            low=int(edges[i]),
            high=int(edges[i + 1]),
            share=float(ours[i]),
            held_out=None if theirs is None else float(theirs[i]),
        )
        for i in range(BANDS)
    )


def _lumas(split: Split, progress: Progress) -> list[float]:
    found = []
    for index in range(len(split)):
        progress("reading brightness", index, len(split))
        image = split.image(index)
        frame = split.frame or frame_of_pixels(image)
        gray = to_gray(image) if frame.order == "rgb" else image
        found.append(255.0 / frame.full * float(gray.mean()))
    return found
