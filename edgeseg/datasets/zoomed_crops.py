"""Parts of pictures, enlarged: views that a network has not learnt by heart.

A network is surer of the images it was trained on than of any others, so on them small changes to it hardly
show. A part of such an image, enlarged to its size, has the same labels and is new to the network.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np

from edgeseg.core.preprocess import Size
from edgeseg.datasets.pictures import resize_frame
from edgeseg.datasets.split import Pixels, Split
from edgeseg.datasets.tasks import LabelTask

ZOOMED = "@nearer"
"""Behind the id of an image: its enlarged part. It seeds where the part lies: another gives other plans."""
SHARE = (0.4, 0.7)
"""Sides of the part over those of the image."""


def with_zoomed_crops(split: Split) -> Split:
    """The images, and behind all of them their enlarged parts, the same ones each time: an image and its
    part are one observation."""
    video = split.sequence or str
    return replace(
        split,
        name=f"{split.name} and zoomed crops",
        ids=(*split.ids, *(f"{name}{ZOOMED}" for name in split.ids)),
        read_image=lambda name: _image(split.read_image(picture_of(name)), name),
        stored=None,
        read_label=lambda name: _label(split.marks, split.read_label(picture_of(name)), name),
        where=lambda name: split.where(picture_of(name)),
        sequence=lambda name: video(picture_of(name)),
    )


def picture_of(name: str) -> str:
    """The id of the whole image."""
    return name.removesuffix(ZOOMED)


def _image(pixels: Pixels, name: str) -> Pixels:
    """The image `name` out of the whole."""
    if not name.endswith(ZOOMED):
        return pixels
    height, width = pixels.shape[:2]
    return resize_frame(np.ascontiguousarray(pixels[_part(name, (height, width))]), (height, width))


def _label(marks: LabelTask, label: Any, name: str) -> Any:
    if not name.endswith(ZOOMED):
        return label
    size = marks.size(label)
    return marks.resized(marks.part(label, *_part(name, size)), size)


def _part(name: str, size: Size) -> tuple[slice, slice]:
    """Rows and columns of the enlarged part."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    share = rng.uniform(*SHARE)
    height, width = size
    rows, columns = max(1, round(share * height)), max(1, round(share * width))
    top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
    return slice(top, top + rows), slice(left, left + columns)
