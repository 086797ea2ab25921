"""Which things two results of one image both say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.instances import Instances
from edgeseg.metrics.matching import THRESHOLDS
from edgeseg.metrics.overlaps import mask_areas, mask_overlaps

SAME = float(THRESHOLDS[0])
"""Intersection over union from which two masks of a class are one thing: that of `AP50`."""


def same_things(a: Instances, b: Instances) -> NDArray[np.intp]:
    """Pairs [P,2], indices into A and B, of things of one class whose masks overlap by SAME or more.

    A thing is in one pair at most. Those that overlap most are paired first, so that it does not matter which
    of the two results is A.

    Args:
        a, b: with masks of one size.
    """
    pairs = []
    for label in np.intersect1d(a.labels, b.labels):
        rows, columns = (np.flatnonzero(things.labels == label) for things in (a, b))
        overlaps = _overlaps(a, rows, b, columns)
        while overlaps.max() >= SAME:
            row, column = np.unravel_index(overlaps.argmax(), overlaps.shape)
            pairs.append((rows[row], columns[column]))
            overlaps[row], overlaps[:, column] = 0.0, 0.0
    return np.array(pairs, np.intp).reshape(-1, 2)


def _overlaps(
    a: Instances, rows: NDArray[np.intp], b: Instances, columns: NDArray[np.intp]
) -> NDArray[np.float64]:
    assert a.masks is not None and b.masks is not None
    first, second = [a.masks[row] for row in rows], [b.masks[column] for column in columns]
    areas = mask_areas(first), mask_areas(second)
    return mask_overlaps(first, second, np.zeros(len(second), bool), areas)
