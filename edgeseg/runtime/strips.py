"""Large maps are read in strips of rows: what a strip gives is small and stays in the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

STRIP = 1 << 20
"""Numbers of a strip."""


def strips(shape: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First row and the row behind the last of each strip of a map [...,H,W]: STRIP numbers, or one row."""
    height = shape[-2]
    row = math.prod(shape[:-2]) * shape[-1]
    rows = max(1, STRIP // max(1, row))
    for start in range(0, height, rows):
        yield start, min(start + rows, height)


def parts(count: int) -> Iterator[slice]:
    """The same of so many numbers in a row."""
    for start in range(0, count, STRIP):
        yield slice(start, min(start + STRIP, count))
