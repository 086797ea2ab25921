"""Whether two lists of things say the same: those of an engine and of its network, before and after rounding.

Outputs here are those of one frame: boxes [K,4], scores [K], labels [K], masks [K,h,w] and a count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.runtime.tasks import Outputs

OVERLAP, SCORE, MASK = 0.3, 0.1, 0.1
"""Two things are the same up to these differences: 1 - intersection over union of the boxes, of the scores,
and of the masks (mean over the cells; of pasted masks 1 - intersection over union is OVERLAP's too)."""
STEADIER = 3.0
"""A thing is compared when rounding moves it less than one of so many parts of that."""
IS, STEADY = 1, 2
"""Bits of a mark: the row is a thing; it is compared."""


def distances(a: Outputs, b: Outputs) -> NDArray[np.float32]:
    """How far each thing of the second is from its partner in the first, float32 [count of b]: 1 is the
    largest difference of the same thing, infinity stands for no partner.

    Partners have one class; those that overlap most are chosen first.
    """
    first, second = int(a["count"]), int(b["count"])
    result = np.full(second, np.inf, np.float32)
    if not first or not second:
        return result
    overlap = _overlaps(b["boxes"][:second], a["boxes"][:first])
    overlap[b["labels"][:second, None] != a["labels"][None, :first]] = -1
    for _ in range(min(first, second)):
        here, there = np.unravel_index(int(overlap.argmax()), overlap.shape)
        if overlap[here, there] <= 0:
            break
        away = [
            (1 - overlap[here, there]) / OVERLAP,
            abs(float(a["scores"][there]) - float(b["scores"][here])) / SCORE,
            _apart(a["masks"][there], b["masks"][here]),
        ]
        result[here] = max(away)
        overlap[here], overlap[:, there] = -1, -1
    return result


def matched(exact: Outputs, other: Outputs) -> NDArray[np.bool_]:
    """Which things of the first the other has too, hardly moved, bool [count of the first]."""
    return distances(other, exact) < 1 / STEADIER


def _overlaps(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union [A,B]."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    common = np.prod(np.maximum(sides, 0), axis=-1)
    areas = [np.prod(np.maximum(x[:, 2:] - x[:, :2], 0), axis=-1) for x in (a, b)]
    union = areas[0][:, None] + areas[1][None] - common
    return np.asarray(common / np.maximum(union, np.float32(1e-12)), np.float32)


def _apart(a: NDArray[Any], b: NDArray[Any]) -> float:
    if a.dtype == np.uint8:
        first, second = a.astype(bool), b.astype(bool)
        union = (first | second).sum()
        return float(1 - (first & second).sum() / union) / OVERLAP if union else 0.0
    return float(np.abs(a - b).mean()) / MASK
