"""Counts that grow frame by frame, and the scores they give: pixels are forgotten at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.datasets.drawing import VALUES, bits_of
from edgeseg.evaluation.verification import Agreement, Drop, Scores
from edgeseg.metrics import (
    BoundaryCounts,
    Interval,
    boundary_counts,
    boundary_iou,
    confusion,
    dice,
    iou,
    known,
    labelled,
    mean_iou,
    mean_present,
    paired_drop,
    pixel_accuracy,
    precision,
    recall,
)


class Tally:
    """One engine against labels: a confusion matrix [C,C] per frame and the sums of the boundary counts."""

    def __init__(self, names: Sequence[str], ignore_index: int | None) -> None:
        self._names = tuple(names)
        self._ignore = ignore_index
        self._matrices: list[Array] = []
        self._boundary: BoundaryCounts | None = None

    def add(self, label: Array, found: Array) -> None:
        """Count one frame: label and class map, uint8 [H,W]."""
        classes = len(self._names)
        self._matrices.append(confusion(label, found, classes, self._ignore))
        counts = boundary_counts(label, found, classes, self._ignore)
        self._boundary = counts if self._boundary is None else self._boundary + counts

    def matrices(self) -> Array:
        """int64 [frames,C,C], row = label."""
        return np.stack(self._matrices)

    def total(self) -> Array:
        """int64 [C,C] of all frames together."""
        return np.asarray(self.matrices().sum(axis=0))

    def frame_scores(self) -> list[float]:
        """mIoU of each frame alone, over the classes that are labelled in any; NaN for a frame that is
        ignored altogether."""
        among = labelled(self.total())
        return [float(mean_iou(matrix, among)) for matrix in self._matrices]

    def scores(self) -> Scores:
        """Scores of all frames together."""
        total = self.total()
        among = labelled(total)
        assert self._boundary is not None
        borders = np.where(among, boundary_iou(self._boundary), np.nan)
        overlap, twice = iou(total, among), dice(total, among)
        return Scores(
            miou=known(mean_present(overlap)),
            dice=known(mean_present(twice)),
            pixel_accuracy=known(pixel_accuracy(total)),
            boundary_iou=known(mean_present(borders)),
            class_iou=self._named(overlap),
            class_dice=self._named(twice),
            class_boundary_iou=self._named(borders),
            class_recall=self._named(recall(total, among)),
            class_precision=self._named(precision(total, among)),
        )

    def notes(self) -> tuple[str, ...]:
        """The classes that no label shows, and what this means for the scores."""
        shown = labelled(self.total())
        if shown.all() or not shown.any():
            return ()
        names = ", ".join(name for name, there in zip(self._names, shown) if not there)
        return (
            f"no pixel of these frames is labelled {names}: out of every mean and drop; pixels taken for it "
            "count against the classes they belong to",
        )

    def _named(self, values: Array) -> dict[str, float | None]:
        return {name: known(value) for name, value in zip(self._names, values)}


class Comparison:
    """Two engines on the same frames: pixels by (value of the reference, value of the engine)."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._joint = np.zeros((VALUES, VALUES), np.int64)
        self.frame_scores: list[float] = []
        """Share of equal pixels of each frame."""

    def add(self, expected: Array, found: Array) -> None:
        self._joint += confusion(expected, found, VALUES)
        self.frame_scores.append(float((expected == found).mean()))

    def agreement(self) -> Agreement:
        classes = len(self._spec.classes)
        if self._spec.task == "semantic":
            joint = self._joint[:classes, :classes]
            ious = iou(joint, labelled(joint))
        else:
            ious = self._bit_iou(classes)
        return Agreement(
            pixels=float(np.trace(self._joint) / self._joint.sum()), miou=known(mean_present(ious))
        )

    def _bit_iou(self, classes: int) -> Array:
        bits = bits_of(np.arange(VALUES, dtype=np.uint8), classes)
        both = np.einsum("vw,vc,wc->c", self._joint, bits, bits, optimize=True)
        expected = self._joint.sum(axis=1) @ bits
        union = expected + self._joint.sum(axis=0) @ bits - both
        return np.asarray(np.divide(both, union, out=np.full(classes, np.nan), where=expected > 0))


def drops(
    reference: Array, engine: Array, names: Sequence[str], sequences: Sequence[str] = ()
) -> tuple[Drop | None, dict[str, Drop]]:
    """What the engine loses against the reference: mIoU, and IoU of each labelled class, in points.

    Args:
        reference, engine: int64 [frames,C,C], of the same frames.
        sequences: the video that each frame comes from; empty: nothing tells.
    """
    return told(paired_drop(reference, engine, sequences), names)


def told(found: Interval, names: Sequence[str]) -> tuple[Drop | None, dict[str, Drop]]:
    """A paired loss as data: of all classes, None where nothing shows it, and of each that shows it."""

    def drop(value: float, low: float, high: float) -> Drop:
        return Drop(value=value, low=known(low), high=known(high), caveat=found.caveat)

    rows = zip(names, found.class_drop, found.class_low, found.class_high)
    classes = {name: drop(*row) for name, *row in rows if not math.isnan(row[0])}
    if math.isnan(found.drop):
        return None, classes
    return drop(found.drop, found.low, found.high), classes
