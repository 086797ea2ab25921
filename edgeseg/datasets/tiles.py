"""Images cut into tiles, as an engine for tiles sees them, to calibrate, to train and to plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgeseg.core.preprocess import Size
from edgeseg.core.tiles import Tiles
from edgeseg.datasets.split import Read, Split
from edgeseg.datasets.tasks import LabelTask
from edgeseg.datasets.zoomed_crops import picture_of
from edgeseg.errors import DataError
from edgeseg.runtime.tiles import Grid

TILE = "#tile"
"""Between the id of an image and the number of its tile."""
FEW = 256
"""So many tiles stand for a split that has more; where there are more images, one of each."""


def tiles_of(split: Split, tiles: Tiles, frame: Size, *, few: bool = False) -> Split:
    """Each tile of each image as an image of its own; those of one image are one observation.

    Args:
        frame: (height, width) of the camera, which tells how many tiles there are; in an image of another
            size the same number is spread evenly.
        few: FEW of them, each image with others.
    """
    grid = Grid.of(frame, tiles)
    count = len(grid)
    wanted = min(count, max(1, FEW // max(1, len(split)))) if few else count
    places = {name: place for place, name in enumerate(dict.fromkeys(map(picture_of, split.ids)))}
    ids = tuple(
        f"{name}{TILE}{number}"
        for name in split.ids
        for number in _chosen(places[picture_of(name)], wanted, count)
    )
    video = split.sequence or picture_of
    rows, columns = len(grid.tops), len(grid.lefts)
    return replace(
        split,
        ids=ids,
        read_image=_Cut(split.read_image, tiles.size, rows, columns),
        stored=None,
        read_label=_Cut(split.read_label, tiles.size, rows, columns, split.marks),
        where=_OfPicture(split.where),
        sequence=_OfPicture(video),
    )


def _chosen(place: int, wanted: int, count: int) -> list[int]:
    """Numbers of the tiles of one image: evenly spread, from another beginning in each image.

    >>> _chosen(0, 2, 6), _chosen(1, 2, 6), _chosen(2, 2, 6), _chosen(0, 3, 3)
    ([0, 3], [1, 4], [2, 5], [0, 1, 2])
    """
    return sorted((place + number * count // wanted) % count for number in range(wanted))


def _parted(name: str) -> tuple[str, int]:
    """The id of an image, and the number of a tile of it."""
    whole, _, number = name.rpartition(TILE)
    return whole, int(number)


@dataclass(frozen=True)
class _OfPicture:
    """What is known of an image, for its tiles. Equal for an equal split, as `_Cut`."""

    told: Any

    def __call__(self, name: str) -> str:
        return str(self.told(_parted(name)[0]))


def middles(split: Split, size: Size) -> Split:
    """The tile in the middle of each image, under the id of the image."""
    return replace(
        split,
        read_image=_Cut(split.read_image, size),
        stored=None,
        read_label=_Cut(split.read_label, size, marks=split.marks),
    )


@dataclass(frozen=True)
class _Cut:
    """Equal for an equal split, so that hashes of images are found again.

    Attributes:
        rows, columns: of tiles in an image; 0: the middle of it is read, and ids have no number.
        marks: of labels; None: it is images that are read.
    """

    read: Read
    size: Size
    rows: int = 0
    columns: int = 0
    marks: LabelTask | None = None

    def __call__(self, name: str) -> Any:
        whole, number = _parted(name) if self.rows else (name, 0)
        read = self.read(whole)
        height, width = self.marks.size(read) if self.marks else read.shape[:2]
        if height < self.size[0] or width < self.size[1]:
            raise DataError(
                f"the image {whole} has {height}x{width} pixels (height x width)",
                expected=f"at least a tile, {self.size[0]}x{self.size[1]}",
            )
        row, column = divmod(number, self.columns) if self.rows else (0, 0)
        rows = _part(row, self.rows, height, self.size[0])
        columns = _part(column, self.columns, width, self.size[1])
        return (
            self.marks.part(read, rows, columns) if self.marks else np.ascontiguousarray(read[rows, columns])
        )


def _part(number: int, count: int, side: int, tile: int) -> slice:
    """Where one of `count` tiles lies along a side of an image; the middle of it if there are none."""
    start = (side - tile) * number // max(1, count - 1) if count else (side - tile) // 2
    return slice(start, start + tile)
