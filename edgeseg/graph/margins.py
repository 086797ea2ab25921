"""How far a class decision is from another one, and which pixels rounding leaves alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array

DEVIATIONS = 3.0
"""A pixel is stable when its margin is more than this many times what rounding does to margins around it, and
in the whole frame (root mean square)."""
WINDOW = 9
"""Side in pixels of what lies around it."""

Float = NDArray[np.float32]


class Margins(NamedTuple):
    """
    Attributes:
        apart: float32 [N,K,H,W]: the best score less the second, K = 1; or each score less its threshold.
        best: uint8 [N,2,H,W], the channels of the second and the best score; None with a threshold.
    """

    apart: Float
    best: NDArray[np.uint8] | None


def margins(scores: Iterable[Float], spec: ModelSpec) -> Margins:
    """Of scores in strips of rows [N,C,rows,W]."""
    apart: list[Float] = []
    best: list[NDArray[np.uint8]] = []
    for part in scores:
        if spec.task == "semantic" and part.shape[1] > 1:
            best.append(_two_best(part))
            apart.append(_between(part, best[-1]))
        else:
            apart.append(part - np.float32(spec.postprocess.score_threshold()))
    return Margins(np.concatenate(apart, axis=2), np.concatenate(best, axis=2) if best else None)


def margins_as(exact: Margins, scores: Iterable[Float], spec: ModelSpec) -> Float:
    """`Margins.apart` of other scores, between the same two channels."""
    found = np.empty(exact.apart.shape, np.result_type(exact.apart, np.float32))
    row = 0
    threshold = np.float32(spec.postprocess.score_threshold())
    for part in scores:
        rows = slice(row, row + part.shape[2])
        found[:, :, rows] = part - threshold if exact.best is None else _between(part, exact.best[:, :, rows])
        row = rows.stop
    return found


def stable_pixels(exact: Float, found: Float, step: float = 0.0) -> NDArray[np.bool_]:
    """bool [N,H,W]: the two best scores, or each score and its threshold, lie further apart than DEVIATIONS
    times the noise of that distance.

    Args:
        exact, found: `Margins.apart` without and with rounding.
        step: distance of two scores that the decision still tells apart.
    """
    count, channels, *size = exact.shape
    stable = np.ones((count, *size), np.bool_)
    for frame, channel in np.ndindex(count, channels):
        apart = exact[frame, channel]
        moved = (found[frame, channel] - apart).astype(np.float64) ** 2
        noise = np.sqrt(np.maximum(_around(moved), moved.mean()))
        stable[frame] &= np.abs(apart) > DEVIATIONS * noise + step
    return stable


def _two_best(scores: Float) -> NDArray[np.uint8]:
    """The last two channels of `argpartition`, uint8 [N,2,H,W]. That sorts, and is asked only where more than
    two scores could be meant, or one is no number."""
    first, second = scores[:, 0].copy(), np.full_like(scores[:, 0], -np.inf)
    channels = range(scores.shape[1])
    for channel in channels[1:]:
        values = scores[:, channel]
        np.maximum(second, np.minimum(first, values), out=second)
        np.maximum(first, values, out=first)
    best = np.zeros((len(scores), 2, *scores.shape[2:]), np.uint8)
    reached = np.zeros(first.shape, np.uint8)
    for channel in channels:
        values, number = scores[:, channel], np.uint8(channel)
        for place, value in enumerate((second, first)):
            np.maximum(best[:, place], (values == value).view(np.uint8) * number, out=best[:, place])
        reached += (values >= second).view(np.uint8)
    unclear = (reached != 2) | (first == second)
    if unclear.any():
        asked = np.moveaxis(scores, 1, -1)[unclear]
        np.moveaxis(best, 1, -1)[unclear] = np.argpartition(asked, -2, axis=1)[:, -2:]
    return best


def _between(scores: Float, best: NDArray[np.uint8]) -> Float:
    """float32 [N,1,H,W]: the score of the best channel less that of the second."""
    second, first = np.split(np.take_along_axis(scores, best, 1), 2, 1)
    apart: Float = first - second
    return apart


def _around(values: Array) -> Array:
    """Mean over the WINDOW x WINDOW pixels around each of [H,W]; borders are repeated."""
    half = WINDOW // 2
    padded = np.pad(values, (half + 1, half), mode="edge")
    for axis in (0, 1):
        sums = np.moveaxis(np.cumsum(padded, axis=axis), axis, 0)
        padded = np.moveaxis((sums[WINDOW:] - sums[:-WINDOW]) / WINDOW, 0, axis)
    return np.maximum(padded, 0.0)
