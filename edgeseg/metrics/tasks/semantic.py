"""mIoU over maps of class ids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.metrics.boundary import BoundaryCounts, boundary_counts, boundary_iou
from edgeseg.metrics.counts import HIT, LABELLED, Counts, Scores, class_counts, mean_present, overlap, ratio
from edgeseg.metrics.counts import twice_overlap as dice
from edgeseg.metrics.tasks import MetricTask
from edgeseg.metrics.tasks.sums import SumTask, only

NAMES = ("semantic",)

ROWS = 3
"""Of the counts, before those of borders."""


class MeanIoU(SumTask):
    metric = "mIoU"
    class_metric = "IoU"
    one_decision = True

    @staticmethod
    def score(counts: Counts) -> Scores:
        return overlap(counts)

    def keep(self, label: Any, found: Any, *, full: bool = False) -> Counts:
        """Of class ids [H,W]; `full`: two rows more, intersection and union of the borders."""
        counts = class_counts(label, found, self.classes, self.ignore_index)
        if not full:
            return counts
        borders = boundary_counts(label, found, self.classes, self.ignore_index)
        return np.concatenate([counts, np.stack([borders.intersection, borders.union])])

    def further(self, total: Counts, among: NDArray[np.bool_]) -> tuple[dict[str, float], dict[str, Scores]]:
        tables = {"Dice": only(dice(total), among)}
        if len(total) > ROWS:
            tables["boundary IoU"] = only(boundary_iou(BoundaryCounts(*total[ROWS:])), among)
        means = {name: float(mean_present(values)) for name, values in tables.items()}
        right = float(ratio(total[HIT].sum(), total[LABELLED].sum()))
        return {**means, "pixel accuracy": right}, tables


def task(spec: ModelSpec, ignore_index: int | None) -> MetricTask:
    return MeanIoU(spec, ignore_index)
