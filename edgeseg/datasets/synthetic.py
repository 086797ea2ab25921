"""`synthetic-streets`: drawn street scenes with exact labels, the data of the demo and the tests.

Every frame follows from (seed, split, index) alone; nothing is downloaded or stored.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import ClassInfo
from edgeseg.core.preprocess import Size
from edgeseg.datasets.split import Pixels, Split, require_split
from edgeseg.errors import DataError

if TYPE_CHECKING:
    from edgeseg.datasets._street_scene import Frame as Drawn

NAMES = ("synthetic-streets",)

GENERATED = True
SIZE: Size = (240, 320)
COUNTS = {"train": 480, "val": 60, "calib": 64, "plan": 40}
IGNORE_INDEX = 255
CLASSES = (
    ClassInfo("road", (128, 64, 128)),
    ClassInfo("lane-marking", (240, 240, 240)),
    ClassInfo("building", (70, 70, 70)),
    ClassInfo("vegetation", (107, 142, 35)),
    ClassInfo("sky", (70, 130, 180)),
    ClassInfo("pole", (190, 153, 153)),
    ClassInfo("sign", (220, 220, 0)),
    ClassInfo("car", (0, 0, 142)),
    ClassInfo("pedestrian", (220, 20, 60)),
    ClassInfo("cyclist", (255, 120, 20)),
)
"""Pavement, kerbs, bins and the camera car's own bonnet are void (IGNORE_INDEX)."""

_CACHED_FRAMES = 1024


def dataset(name: str, root: Path | None = None) -> SyntheticStreets:
    """The streets in their default size. Raises DataError when a folder is given: there is none."""
    if root is not None:
        raise DataError(
            f"{name} was given the folder {root}, but its images are generated",
            expected="no folder",
            hint="leave the folder out, or name the layout of your data, such as 'folders'",
        )
    return SyntheticStreets()


class SyntheticStreets:
    """Generated streets.

    Args:
        size: (height, width) of a frame in pixels, at least 32x32.
        counts: images per split, for the splits of COUNTS; an image does not depend on them.
        seed: another seed gives other streets everywhere.
    """

    name = NAMES[0]
    classes = CLASSES
    ignore_index: int | None = IGNORE_INDEX

    def __init__(self, size: Size = SIZE, counts: dict[str, int] | None = None, seed: int = 0) -> None:
        if min(size) < 32:
            raise DataError(f"frames of {size[0]}x{size[1]} were asked for", expected="at least 32x32")
        self.size = size
        self.counts = dict(COUNTS if counts is None else counts)
        for split in self.counts:
            require_split(split, tuple(COUNTS), where=self.name)
        self.seed = seed

    def splits(self) -> tuple[str, ...]:
        return tuple(self.counts)

    def split(self, name: str) -> Split:
        require_split(name, self.splits(), where=self.name)
        return Split(
            dataset=self.name,
            name=name,
            ids=tuple(f"{name}-{index:04d}" for index in range(self.counts[name])),
            classes=self.classes,
            ignore_index=self.ignore_index,
            read_image=partial(_image, self.seed, self.size),
            read_label=partial(_label, self.seed, self.size),
            generated=True,
            frame=Frame(),
        )

    def instances(self, identity: str) -> NDArray[np.uint16]:
        """Instance ids uint16 [H,W] of signs, cars, pedestrians and cyclists from 1 up; 0 elsewhere."""
        instances: NDArray[np.uint16] = drawn(self.seed, self.size, identity).instances.copy()
        return instances


def _seed(seed: int, identity: str) -> tuple[int, int, int]:
    split, _, index = identity.partition("-")
    return seed, tuple(COUNTS).index(split), int(index)


@lru_cache(maxsize=_CACHED_FRAMES)
def drawn(seed: int, size: Size, identity: str) -> Drawn:
    """The frame of an id, with its class ids and instance ids: kept, so it must not be written to."""
    from edgeseg.datasets._street_scene import street

    return street(_seed(seed, identity), *size)


def _image(seed: int, size: Size, identity: str) -> Pixels:
    pixels: Pixels = drawn(seed, size, identity).image.copy()
    return pixels


def _label(seed: int, size: Size, identity: str) -> Pixels:
    label: Pixels = drawn(seed, size, identity).label.copy()
    return label
