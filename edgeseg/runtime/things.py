"""Whether two lists of things say the same: those of an engine and of its network, before and after rounding.

Outputs here are those of one frame: boxes [K,4], scores [K], labels [K], masks [K,h,w] and a count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.runtime.tasks import Outputs

OVERLAP, SCORE, MASK = 0.5, 0.2, 0.2
"""Two things are the same up to these differences: 1 - intersection over union of the boxes, of the scores,
and of the masks (mean over the cells; of pasted masks 1 - intersection over union is OVERLAP's too)."""
STEADIER = 3.0
"""A thing is compared when rounding moves it less than one of so many parts of that."""
MOST = 0.9
"""Share of the things that a graph must find where its network finds them: rounding decides about some."""
IS, STEADY = 1, 2
"""Bits of a mark: the row is a thing; it is compared."""


def distances(a: Outputs, b: Outputs) -> NDArray[np.float32]:
    """How far each thing of the second is from its partner in the first, float32 [count of b]: 1 is the
    largest difference of the same thing. One without a partner has the score 0 there, below what is returned.

    Partners have one class; those that overlap most are chosen first.
    """
    result = np.asarray(b["scores"][: int(b["count"])] / SCORE, np.float32)
    for here, there in enumerate(partners(a, b)):
        if there >= 0:
            overlap = float(_overlaps(b["boxes"][here : here + 1], a["boxes"][there : there + 1])[0, 0])
            score = abs(float(a["scores"][there]) - float(b["scores"][here]))
            away = (1 - overlap) / OVERLAP, score / SCORE, _apart(a["masks"][there], b["masks"][here])
            result[here] = max(away)
    return result


def partners(a: Outputs, b: Outputs) -> list[int]:
    """Of each thing of the second the row of the first that is its partner; -1: none."""
    first, second = int(a["count"]), int(b["count"])
    found = [-1] * second
    if not first or not second:
        return found
    overlap = _overlaps(b["boxes"][:second], a["boxes"][:first])
    overlap[b["labels"][:second, None] != a["labels"][None, :first]] = -1
    for _ in range(min(first, second)):
        here, there = (int(i) for i in np.unravel_index(int(overlap.argmax()), overlap.shape))
        if overlap[here, there] <= 0:
            break
        found[here] = there
        overlap[here], overlap[:, there] = -1, -1
    return found


def things_apart(found: Outputs, expected: Outputs) -> float:
    """How far the things of N frames are from those expected, as a share of the largest number of each
    output: MOST of them are no farther. Infinite where more are missing.

    Args:
        found, expected: [N,...].
    """
    each: list[float] = []
    scale = {name: float(np.abs(expected[name]).max(initial=0)) or 1.0 for name in ("boxes", "masks")}
    for frame in range(len(expected["count"])):
        a, b = ({name: array[frame] for name, array in outputs.items()} for outputs in (found, expected))
        for here, there in enumerate(partners(a, b)):
            if there < 0:
                each.append(np.inf)
                continue
            off = [float(np.abs(a[name][there] - b[name][here]).max()) / scale[name] for name in scale]
            each.append(max(*off, abs(float(a["scores"][there]) - float(b["scores"][here]))))
        each += [np.inf] * max(0, int(a["count"]) - int(b["count"]))
    if not each:
        return 0.0
    return float(np.sort(each)[min(len(each) - 1, int(MOST * len(each)))])


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
