"""Mask AP: average precision of things by the COCO definition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edgeseg.core.instances import Instances
from edgeseg.core.model_spec import ModelSpec
from edgeseg.metrics.average_precision import average_precision, precision_tables, together
from edgeseg.metrics.counts import Scores, mean_present, ratio
from edgeseg.metrics.instances import require_instances, require_same_size
from edgeseg.metrics.interval import Interval
from edgeseg.metrics.matching import Matches, matches
from edgeseg.metrics.precision_drop import precision_drop
from edgeseg.metrics.same_things import same_things
from edgeseg.metrics.tasks import PRECISION, RECALL, Figures, MetricTask

NAMES = ("instance",)

TABLES = ("AP50", "AP75")
"""Those of `precision_tables` that are told of each class; all are told as means."""
BOX = "box AP"


class Kept(NamedTuple):
    """Of an image: what matches by masks, and by boxes where that was asked for."""

    masks: Matches
    boxes: Matches | None


class MaskAP:
    """AP is of all that was found. Recall and precision are those of the working point: of what was found
    with the score `Postprocess.threshold` or more, by an overlap of 0.5 or more."""

    metric = "mask AP"
    class_metric = "AP"
    one_decision = False
    unit = "thing"

    def __init__(self, spec: ModelSpec) -> None:
        self.classes = len(spec.classes)
        self._scores = np.array(spec.postprocess.thresholds(self.classes), np.float32)

    def keep(self, label: Instances, found: Instances, *, full: bool = False) -> Kept:
        """Of things with masks. Of a label that is a result of another network, what it says at the working
        point is true; the scores of other labels are ones."""
        truth = self._said("the label", label)
        by_masks = matches(truth, found, self.classes, masks=True)
        return Kept(by_masks, matches(truth, found, self.classes, masks=False) if full else None)

    def together(self, kept: Sequence[Kept]) -> Kept:
        by_masks, by_boxes = _sides(kept)
        return Kept(together(by_masks), together(by_boxes) if by_boxes else None)

    def figures(self, kept: Sequence[Kept]) -> Figures:
        by_masks, by_boxes = _sides(kept)
        precise = precision_tables(by_masks, sizes=bool(by_boxes))
        classes = precise.pop(self.class_metric)
        told = {name: values for name, values in precise.items() if name in TABLES}
        if by_boxes:
            told[BOX] = precise[BOX] = precision_tables(by_boxes, sizes=False)[self.class_metric]
        means = {name: float(mean_present(values)) for name, values in precise.items()}
        return Figures(float(mean_present(classes)), classes, means, {**self._shares(by_masks), **told})

    def each(self, kept: Sequence[Kept]) -> list[float]:
        """A class that the label of the image does not show, but that of another one, counts 0 where it is
        found at the working point."""
        by_masks, _ = _sides(kept)
        among = np.sum([image.truths[0] for image in by_masks], axis=0) > 0
        return [float(mean_present(np.where(among, self._alone(image), np.nan))) for image in by_masks]

    def drop(
        self,
        before: Sequence[Kept],
        after: Sequence[Kept],
        sequences: Sequence[str] = (),
        *,
        confidence: float = 0.95,
    ) -> Interval:
        return precision_drop(_sides(before)[0], _sides(after)[0], sequences, confidence=confidence)

    def equal(self, a: Instances, b: Instances) -> tuple[int, int]:
        """Of the things that either result says at the working point, those that both say."""
        first, second = self._said("the first result", a), self._said("the second", b)
        require_same_size(("the first result", first), ("the second", second))
        both = len(same_things(first, second))
        return both, len(first.labels) + len(second.labels) - both

    def differs(self, a: Instances, b: Instances) -> None:
        """Things overlap, and one that is missing is no pixel."""

    def _said(self, name: str, things: Instances) -> Instances:
        """Those at the working point."""
        require_instances(name, things, self.classes, masks=True)
        return things.where(things.scores >= self._scores[things.labels])

    def _shares(self, kept: Sequence[Matches]) -> dict[str, Scores]:
        """RECALL and PRECISION of each class, of one image or all; NaN for a class that no label shows."""
        counts = np.sum([self._counts(image) for image in kept], axis=0)
        hits, truths, found = counts
        return {RECALL: ratio(hits, truths), PRECISION: np.where(truths > 0, ratio(hits, found), np.nan)}

    def _counts(self, image: Matches) -> Scores:
        """Things found rightly, to be found, and found, int64 [3,C]."""
        counted = ~image.ignored[0, 0] & (image.scores >= self._scores[image.labels])
        right = counted & image.matched[0, 0]
        hits, found = (np.bincount(image.labels[rows], minlength=self.classes) for rows in (right, counted))
        return np.stack([hits, image.truths[0], found])

    def _alone(self, image: Matches) -> Scores:
        """AP of each class in one image, 0 where something is found and nothing to be found, else NaN."""
        own = average_precision([image], np.ones((1, 1), np.int64))[0].mean(0)
        _, truths, found = self._counts(image)
        return np.where((truths == 0) & (found > 0), 0.0, own)


def _sides(kept: Sequence[Kept]) -> tuple[list[Matches], list[Matches]]:
    """What matches by masks, and by boxes; the latter empty where an image lacks it."""
    boxes = [one.boxes for one in kept if one.boxes is not None]
    return [one.masks for one in kept], boxes if len(boxes) == len(kept) else []


def task(spec: ModelSpec, ignore_index: int | None) -> MetricTask:
    """Labels of things ignore crowds; no value of them is ignored."""
    return MaskAP(spec)
