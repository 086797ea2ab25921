"""Masks as COCO writes them: the lengths of runs down the columns, the first of zeros; and polygons as COCO
fills them. The same as pycocotools (Lin et al., "Microsoft COCO: Common Objects in Context", 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.preprocess import Size
from edgeseg.errors import DataError

Mask = NDArray[np.bool_]

FIRST, LAST = 48, 111
"""Characters of a compressed run: six bits each, of which the highest says that more follow."""
FINER = 5
"""Borders of polygons are followed on a grid so much finer than the pixels."""
MOST_STEPS = 1 << 24
"""Along the border of a polygon, on that grid: more would take a gigabyte."""


def runs_of(mask: Mask) -> list[int]:
    """Lengths of runs of a mask bool [H,W].

    >>> runs_of(np.array([[1, 0], [1, 1]], bool))
    [0, 2, 1, 1]
    """
    flat = mask.T.reshape(-1)
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lead = [0] if flat.size and flat[0] else []
    lengths: list[int] = np.diff(ends, prepend=0, append=flat.size).tolist()
    return lead + lengths


def mask_of_runs(runs: Sequence[int], size: Size) -> Mask:
    """bool [H,W] of `size`. Raises DataError where the runs cover another number of pixels."""
    lengths = np.asarray(runs, np.int64).reshape(-1)
    pixels = size[0] * size[1]
    outside = lengths[(lengths < 0) | (lengths > pixels)]
    if len(outside) or lengths.sum() != pixels:
        fault = f"has a run of {outside[0]} pixels" if len(outside) else f"covers {lengths.sum()} pixels"
        raise DataError(
            f"a run-length mask {fault}",
            expected=f"{pixels}, those of {size[0]}x{size[1]}",
            hint="export the masks again at the size of their image",
        )
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return np.ascontiguousarray(flat.reshape(size[1], size[0]).T)


def compressed(runs: Sequence[int]) -> str:
    """The runs as the text of result files. From the fourth on each is told by what it differs from the last
    but one.

    >>> compressed([0, 2, 1, 1])
    '021O'
    """
    text = []
    for place, length in enumerate(runs):
        left = length - runs[place - 2] if place > 2 else length
        more = True
        while more:
            bits = left & 31
            left >>= 5
            more = left != (-1 if bits & 16 else 0)
            text.append(chr(FIRST + (bits | 32 if more else bits)))
    return "".join(text)


def uncompressed(text: str) -> list[int]:
    """What `compressed` was given. Raises DataError for another text.

    >>> uncompressed("021O")
    [0, 2, 1, 1]
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - FIRST
        if not 0 <= bits <= LAST - FIRST or shift > 60:
            raise _broken(text)
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    if shift:
        raise _broken(text)
    return runs


def _broken(text: str) -> DataError:
    return DataError(f"a run-length mask is {text[:40]!r}", expected="counts as pycocotools compresses them")


def coded(mask: Mask) -> dict[str, Any]:
    """A mask bool [H,W] as the `segmentation` of a result."""
    return {"size": list(mask.shape), "counts": compressed(runs_of(mask))}


def filled(points: NDArray[np.float64], size: Size) -> Mask:
    """Inside of a polygon [P,2] (x, y), bool [H,W] of `size`.

    Raises:
        DataError: fewer than three points, or points that are no numbers or far outside the image.
    """
    height, width = size
    near = np.isfinite(points) & (np.abs(points) <= 2 * max(size))
    if len(points) < 3 or not near.all():
        raise DataError(
            f"a polygon has {len(points)} points" + ("" if near.all() else ", some of them far outside"),
            expected=f"three or more in an image of {height}x{width}",
        )
    corners = np.trunc(FINER * points + 0.5).astype(np.int64)
    columns, rows = _border(corners)
    moved = np.flatnonzero(columns[1:] != columns[:-1])
    before, after = columns[moved], columns[moved + 1]
    x = (np.where(after < before, after, after - 1) + 0.5) / FINER - 0.5
    y = (np.minimum(rows[moved], rows[moved + 1]) + 0.5) / FINER - 0.5
    crossed = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    x, y = x[crossed].astype(np.int64), np.ceil(np.clip(y[crossed], 0, height)).astype(np.int64)
    turns = np.bincount(x * height + y, minlength=height * width + 1)[: height * width]
    return np.ascontiguousarray((np.cumsum(turns) % 2 == 1).reshape(width, height).T)


def _border(corners: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Points along the border from corner to corner, both ends of each side: x and y."""
    starts, ends = corners, np.roll(corners, -1, axis=0)
    spans = np.abs(ends - starts)
    steps = spans.max(axis=1)
    if steps.sum() > MOST_STEPS:
        raise DataError(
            f"a polygon has a border of {int(steps.sum()) // FINER} pixels",
            expected=f"at most {MOST_STEPS // FINER}",
        )
    side = np.repeat(np.arange(len(corners)), steps + 1)
    offset = np.cumsum(steps + 1) - (steps + 1)
    step = np.arange(len(side)) - offset[side]
    flat = spans[:, 0] >= spans[:, 1]
    axis = np.where(flat, 0, 1)
    each = np.arange(len(corners))
    flipped = starts[each, axis] > ends[each, axis]
    low, high = np.where(flipped[:, None], ends, starts), np.where(flipped[:, None], starts, ends)
    along, across = low[each, axis], low[each, 1 - axis]
    rise = (high[each, 1 - axis] - across) / np.maximum(steps, 1)
    place = np.where(flipped[side], steps[side] - step, step)
    first = along[side] + place
    second = np.trunc(across[side] + rise[side] * place + 0.5).astype(np.int64)
    return np.where(flat[side], first, second), np.where(flat[side], second, first)
