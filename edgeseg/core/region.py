"""The part of a camera's frame that a network sees."""

from __future__ import annotations

from edgeseg.core.layouts import multiples
from edgeseg.errors import InputError

Region = tuple[int, int, int, int]
"""(top, left, height, width) in pixels of the camera's frame."""
Part = tuple[slice, slice]
"""Rows and columns of a picture."""


def check_region(region: Region) -> None:
    """Raise ValueError for numbers that no frame holds."""
    if min(region[:2]) < 0 or min(region[2:]) < 1:
        raise ValueError(
            f"region is {','.join(map(str, region))}, expected top,left,height,width: the first two from 0 "
            "up, the others from 1 up"
        )


def require_inside(region: Region, camera: tuple[int, int], layout: str) -> None:
    """
    Raises:
        InputError: a frame of (height, width) does not hold the region, or its pixels share colours across
            an edge of the region.
    """
    top, left, height, width = region
    told = f"the region {top},{left},{height},{width} (top, left, height, width)"
    if top + height > camera[0] or left + width > camera[1]:
        raise InputError(
            f"{told} does not lie inside a frame of {camera[0]}x{camera[1]} (height x width)",
            expected=f"rows up to {camera[0]} and columns up to {camera[1]}",
            hint="correct region, state the size that the camera delivers with --camera-size, or let the "
            "network see whole frames: --set region=none",
        )
    rows, columns = multiples(layout)
    if any(side % step for side, step in zip(region, (rows, columns) * 2)):
        raise InputError(
            f"{told} cuts through pixels that share colours: the frames are {layout}",
            expected="an even left and width" if rows == 1 else "four even numbers",
            hint="move the edges by a pixel",
        )


def part_of(region: Region, camera: tuple[int, int], picture: tuple[int, int]) -> Part:
    """The region in a picture of (height, width) that shows what the frame shows; a pixel at least."""
    rows, columns = (
        _scaled(start, length, whole, side)
        for start, length, whole, side in zip(region[:2], region[2:], camera, picture)
    )
    return rows, columns


def _scaled(start: int, length: int, whole: int, side: int) -> slice:
    """
    >>> _scaled(120, 240, 360, 720), _scaled(3, 1, 4, 2), _scaled(3, 1, 4, 4)
    (slice(240, 720, None), slice(1, 2, None), slice(3, 4, None))
    """
    first = min(side - 1, round(start * side / whole))
    return slice(first, max(first + 1, round((start + length) * side / whole)))
