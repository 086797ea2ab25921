"""Frames that are larger than what the network sees: cut into tiles."""

from __future__ import annotations

from typing import Literal

import msgspec

Blend = Literal["gaussian", "flat"]
USUAL_OVERLAP = 64


class Tiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a frame is cut, and how what is found in the tiles becomes one result.

    Tiles lie in rows and columns, evenly spread, the outer ones along the borders of the frame: a frame is at
    least as large as a tile, and nothing is padded.

    Attributes:
        size: (height, width) of a tile, in pixels of the frame.
        overlap: pixels that neighbours share, at least, in both directions; unless stated 64, or a quarter of
            the shorter side where that is less.
        blend: how the scores of tiles that overlap are averaged, before anything is decided: `gaussian`
            counts pixels less towards the border of their tile, where the network sees little around them;
            `flat` counts all alike.
        confidence: the confidence is wanted too; a recipe states it for all engines.
    """

    size: tuple[int, int]
    overlap: int | None = None
    blend: Blend = "gaussian"
    confidence: bool = False

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"the size of a tile is {list(self.size)}, expected [height, width] in pixels")
        if self.overlap is None:
            msgspec.structs.force_setattr(self, "overlap", min(USUAL_OVERLAP, min(self.size) // 4))
        if not 0 <= self.shared < min(self.size):
            raise ValueError(
                f"the overlap is {self.overlap} pixels, expected 0 to {min(self.size) - 1}: less than a tile "
                f"of {self.size[0]}x{self.size[1]}"
            )

    @property
    def shared(self) -> int:
        """`overlap`, which is never None behind `__post_init__`."""
        return self.overlap or 0
