"""Where the tiles of a frame lie, and their scores averaged, a few rows of the frame at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.preprocess import Size
from edgeseg.core.tiles import Blend, Tiles
from edgeseg.errors import InputError
from edgeseg.runtime.strips import strips

Float = NDArray[np.float32]

SIGMA = 1 / 8
"""Standard deviation of the Gaussian over the side of a tile, as in nnU-Net."""


@dataclass(frozen=True)
class Grid:
    """The tiles of frames of one size.

    Attributes:
        frame, tile: (height, width) in pixels.
        tops, lefts: first row of each row of tiles, first column of each column.
    """

    frame: Size
    tile: Size
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    blend: Blend

    @classmethod
    def of(cls, frame: Size, tiles: Tiles, multiples: Size = (1, 1)) -> Grid:
        """
        Args:
            multiples: rows and columns at which a tile may begin: two of frames whose pixels share a colour.

        Raises:
            InputError: a frame that is smaller than a tile.
        """
        if any(side < tile for side, tile in zip(frame, tiles.size)):
            raise InputError(
                f"a frame of {frame[0]}x{frame[1]} (height x width) is smaller than a tile of "
                f"{tiles.size[0]}x{tiles.size[1]}",
                expected="frames at least as large as a tile",
                hint="export for smaller tiles with --tile, or enlarge the frames",
            )
        tops, lefts = (
            _starts(side, tile, tiles.shared, step) for side, tile, step in zip(frame, tiles.size, multiples)
        )
        return cls(frame, tiles.size, tops, lefts, tiles.blend)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The first row and column of each tile, row by row."""
        return ((top, left) for top in self.tops for left in self.lefts)

    @cached_property
    def weights(self) -> tuple[list[Float], list[Float]]:
        """What the rows and what the columns of each tile count: those of one pixel of the frame sum to 1."""
        height, width = self.tile
        return (
            _weights(self.tops, self.frame[0], height, self.blend),
            _weights(self.lefts, self.frame[1], width, self.blend),
        )

    def blended(self, tiles: Iterable[Float]) -> Iterator[tuple[int, Float]]:
        """Average the scores of tiles, [1,C,*tile] each, in the order of the grid.

        A row of tiles is held at a time. Where one tile lies alone its scores stay as they are.

        Yields:
            The first row, and the scores of that and the following rows, [1,C,rows,W]: a view that the next
            ones overwrite.
        """
        given, (height, width) = iter(tiles), self.tile
        band: Float = np.empty(0, np.float32)
        scaled = band
        for row, (top, row_weights) in enumerate(zip(self.tops, self.weights[0])):
            for left, column_weights in zip(self.lefts, self.weights[1]):
                scores = next(given)
                if not band.size:
                    band = np.zeros((*scores.shape[:3], self.frame[1]), np.float32)
                    scaled = np.empty(scores.shape, np.float32)
                np.multiply(scores, row_weights[:, None] * column_weights, out=scaled)
                band[..., left : left + width] += scaled
            below = self.tops[row + 1] if row + 1 < len(self.tops) else self.frame[0]
            done = below - top
            for start, stop in strips((*band.shape[:2], done, band.shape[3])):
                yield top + start, band[:, :, start:stop]
            band[:, :, : height - done] = band[:, :, done:]
            band[:, :, height - done :] = 0


def _starts(side: int, tile: int, overlap: int, multiple: int) -> tuple[int, ...]:
    """
    >>> _starts(1000, 512, 64, 1)
    (0, 244, 488)
    >>> _starts(960, 512, 64, 1)
    (0, 448)
    >>> _starts(512, 512, 64, 1)
    (0,)
    """
    step = max(multiple, (tile - overlap) // multiple * multiple)
    gaps = math.ceil((side - tile) / step)
    return tuple((side - tile) * i // max(1, gaps) // multiple * multiple for i in range(gaps + 1))


def _weights(starts: tuple[int, ...], side: int, tile: int, blend: Blend) -> list[Float]:
    from_middle = (np.arange(tile) - (tile - 1) / 2) / (tile * SIGMA)
    profile = np.exp(-0.5 * from_middle**2) if blend == "gaussian" else np.ones(tile)
    total = np.zeros(side)
    for start in starts:
        total[start : start + tile] += profile
    return [(profile / total[start : start + tile]).astype(np.float32) for start in starts]
