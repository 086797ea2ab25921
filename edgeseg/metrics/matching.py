"""Which of what was found is true: the matching of COCO.

Of each class, what was found is taken by falling score; each takes the free thing of the label that it
overlaps most, if by the threshold or more. Equal to `COCOeval.evaluateImg` of pycocotools (Lin et al.,
"Microsoft COCO: Common Objects in Context", 2014), order of ties included.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.instances import Instances
from edgeseg.metrics.instances import require_instances, require_same_size
from edgeseg.metrics.overlaps import Overlaps, box_areas, box_overlaps, mask_areas, mask_overlaps

Flags = NDArray[np.bool_]
Areas = NDArray[np.float64]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Of intersection over union."""
SIZES = ("all", "small", "medium", "large")
RANGES = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])
"""Areas in square pixels of each of `SIZES`, both ends included."""
MOST = 100
"""What was found in one image beyond this many of a class does not count; the highest scores stay."""


class Matches(NamedTuple):
    """What is kept of an image, of its D detections that count: by class, then by falling score.

    Attributes:
        scores: float32 [D]; `labels`: int32 [D].
        matched: bool [A,T,D], A of `SIZES`, T of `THRESHOLDS`: it is a thing of the label.
        ignored: bool [A,T,D]: neither right nor wrong: part of a crowd, or of another size.
        truths: int64 [A,C], things of the label that are to be found.
    """

    scores: NDArray[np.float32]
    labels: NDArray[np.int32]
    matched: Flags
    ignored: Flags
    truths: NDArray[np.int64]


def matches(truth: Instances, found: Instances, classes: int, *, masks: bool) -> Matches:
    """Of one image.

    Args:
        masks: match by masks, else by boxes.

    Raises:
        InputError: arrays that do not belong together, masks of two sizes or none, ids outside the classes.
    """
    sides = ("the label", truth), ("the prediction", found)
    for name, things in sides:
        require_instances(name, things, classes, masks=masks)
    if masks:
        require_same_size(*sides)
    crowd = np.zeros(len(truth.labels), bool) if truth.crowd is None else np.asarray(truth.crowd, bool)
    area = _areas(truth, masks=truth.masks is not None) if truth.area is None else np.asarray(truth.area)
    outside = _outside(area) | crowd
    truths = np.stack([np.bincount(truth.labels[~out], minlength=classes) for out in outside])
    parts = []
    for label in np.unique(found.labels):
        rows = np.flatnonzero(found.labels == label)
        rows = rows[np.argsort(-found.scores[rows], kind="stable")][:MOST]
        columns = np.flatnonzero(truth.labels == label)
        areas, overlaps = _overlaps(found, rows, truth, columns, crowd[columns], masks=masks)
        matched, ignored = _match(overlaps, crowd[columns], outside[:, columns])
        ignored |= ~matched & _outside(areas)[:, None]
        parts.append((rows, matched, ignored))
    none = np.zeros((len(SIZES), len(THRESHOLDS), 0), bool)
    order = np.concatenate([np.zeros(0, np.intp), *(rows for rows, _, _ in parts)])
    return Matches(
        np.asarray(found.scores[order], np.float32),
        np.asarray(found.labels[order], np.int32),
        np.concatenate([none, *(matched for _, matched, _ in parts)], axis=-1),
        np.concatenate([none, *(ignored for _, _, ignored in parts)], axis=-1),
        truths.astype(np.int64),
    )


def _match(overlaps: Overlaps, crowd: Flags, outside: Flags) -> tuple[Flags, Flags]:
    """`Matches.matched` and `ignored` of one class.

    Args:
        overlaps: [D,G], D by falling score.
        crowd: [G]; `outside`: [A,G], what need not be found.
    """
    shape = len(outside), len(THRESHOLDS)
    matched, ignored = (np.zeros((*shape, len(overlaps)), bool) for _ in range(2))
    free = np.ones((*shape, len(crowd)), bool)
    wanted = ~outside[:, None]
    size, threshold = np.ix_(*map(np.arange, shape))
    for row, shares in enumerate(overlaps):
        fits = free & (shares >= THRESHOLDS[:, None])
        if not fits.any():
            continue
        best = fits & wanted
        best = np.where(best.any(-1, keepdims=True), best, fits)
        # Of equal overlaps the last one.
        chosen = len(crowd) - 1 - np.where(best, shares, -1.0)[..., ::-1].argmax(-1)
        matched[..., row] = hit = fits.any(-1)
        ignored[..., row] = hit & outside[size, chosen]
        free[size, threshold, chosen] &= ~hit | crowd[chosen]
    return matched, ignored


def _overlaps(
    found: Instances,
    rows: NDArray[Any],
    truth: Instances,
    columns: NDArray[Any],
    crowd: Flags,
    *,
    masks: bool,
) -> tuple[Areas, Overlaps]:
    """Areas [D] of what was found, and its overlaps [D,G]."""
    if not masks or found.masks is None or truth.masks is None:
        boxes = found.boxes[rows]
        return box_areas(boxes), box_overlaps(boxes, truth.boxes[columns], crowd)
    first, second = [found.masks[row] for row in rows], [truth.masks[column] for column in columns]
    areas = mask_areas(first)
    return areas, mask_overlaps(first, second, crowd, (areas, mask_areas(second)))


def _areas(things: Instances, *, masks: bool) -> Areas:
    return mask_areas(things.masks) if masks and things.masks is not None else box_areas(things.boxes)


def _outside(area: NDArray[Any]) -> Flags:
    """Which areas [K] are not of each of `SIZES`, [A,K]."""
    low, high = RANGES[:, :1], RANGES[:, 1:]
    return np.asarray((area < low) | (area > high))
