"""How far a class decision is from another one, and which decisions rounding leaves alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.runtime.tasks.maps import MapTask

DEVIATIONS = 3.0
"""A decision is stable when its margin is more than this many times what rounding does to margins around it,
and in the whole frame (root mean square)."""
WINDOW = 9
"""Side in pixels of what lies around it."""

Float = NDArray[np.float32]


class Margins(NamedTuple):
    """
    Attributes:
        apart: float32 [N,M,H,W], how far the scores lie from another decision; `rivals`: between which
            channels. See `MapTask.margins`.
    """

    apart: Float
    rivals: Array | None


def margins(scores: Iterable[Float], task: MapTask, spec: ModelSpec) -> Margins:
    """Of scores in strips of rows [N,K,rows,W]."""
    found = [task.margins(part, spec) for part in scores]
    rivals = [part for _, part in found if part is not None]
    apart = np.concatenate([part for part, _ in found], axis=2)
    return Margins(apart, np.concatenate(rivals, axis=2) if rivals else None)


def margins_as(exact: Margins, scores: Iterable[Float], task: MapTask, spec: ModelSpec) -> Float:
    """`Margins.apart` of other scores, between the same channels."""
    found = np.empty(exact.apart.shape, np.result_type(exact.apart, np.float32))
    row = 0
    for part in scores:
        rows = slice(row, row + part.shape[2])
        between = None if exact.rivals is None else exact.rivals[:, :, rows]
        found[:, :, rows], _ = task.margins(part, spec, between)
        row = rows.stop
    return found


def stable_decisions(exact: Float, found: Float, step: float = 0.0) -> NDArray[np.bool_]:
    """bool [N,M,H,W]: the scores that decide lie further apart than DEVIATIONS
    times the noise of that distance.

    Args:
        exact, found: `Margins.apart` without and with rounding.
        step: distance of two scores that the decision still tells apart.
    """
    stable = np.empty(exact.shape, np.bool_)
    for frame, channel in np.ndindex(*exact.shape[:2]):
        apart = exact[frame, channel]
        moved = (found[frame, channel] - apart).astype(np.float64) ** 2
        noise = np.sqrt(np.maximum(_around(moved), moved.mean()))
        stable[frame, channel] = np.abs(apart) > DEVIATIONS * noise + step
    return stable


def _around(values: Array) -> Array:
    """Mean over the WINDOW x WINDOW pixels around each of [H,W]; borders are repeated."""
    half = WINDOW // 2
    padded = np.pad(values, (half + 1, half), mode="edge")
    for axis in (0, 1):
        sums = np.moveaxis(np.cumsum(padded, axis=axis), axis, 0)
        padded = np.moveaxis((sums[WINDOW:] - sums[:-WINDOW]) / WINDOW, 0, axis)
    return np.maximum(padded, 0.0)
