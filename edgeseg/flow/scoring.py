"""Counts that grow frame by frame, and the scores they give: pixels are forgotten at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.flow.overlay import VALUES, bits_of
from edgeseg.flow.verification import Agreement, Drop, Scores
from edgeseg.metrics import (
    BoundaryCounts,
    boundary_counts,
    boundary_iou,
    confusion,
    dice,
    iou,
    mean_iou,
    paired_drop,
    pixel_accuracy,
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

    def frame_scores(self) -> list[float]:
        """mIoU of each frame alone; NaN for a frame that is ignored altogether."""
        return [float(mean_iou(matrix)) for matrix in self._matrices]

    def scores(self) -> Scores:
        """Scores of all frames together."""
        total = self.matrices().sum(axis=0)
        assert self._boundary is not None
        borders = boundary_iou(self._boundary)
        return Scores(
            miou=known(mean_iou(total)),
            dice=_mean(dice(total)),
            pixel_accuracy=known(pixel_accuracy(total)),
            boundary_iou=_mean(borders),
            class_iou=self._named(iou(total)),
            class_dice=self._named(dice(total)),
            class_boundary_iou=self._named(borders),
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
            ious = iou(self._joint[:classes, :classes])
        else:
            ious = self._bit_iou(classes)
        return Agreement(pixels=float(np.trace(self._joint) / self._joint.sum()), miou=_mean(ious))

    def _bit_iou(self, classes: int) -> Array:
        bits = bits_of(np.arange(VALUES, dtype=np.uint8), classes)
        both = np.einsum("vw,vc,wc->c", self._joint, bits, bits, optimize=True)
        union = self._joint.sum(axis=1) @ bits + self._joint.sum(axis=0) @ bits - both
        return np.asarray(np.divide(both, union, out=np.full(classes, np.nan), where=union > 0))


def drops(reference: Tally, engine: Tally, names: Sequence[str]) -> tuple[Drop | None, dict[str, Drop]]:
    """What the engine loses against the reference: mIoU, and IoU of each class that both show, in points."""
    found = paired_drop(reference.matrices(), engine.matrices())
    rows = zip(names, found.class_drop, found.class_low, found.class_high)
    classes = {n: Drop(value=v, low=low, high=high) for n, v, low, high in rows if not math.isnan(v)}
    if math.isnan(found.drop):
        return None, classes
    return Drop(value=found.drop, low=found.low, high=found.high), classes


def known(value: float) -> float | None:
    """A number, or None for NaN: files that outlive the process hold no NaN."""
    return None if math.isnan(value) else float(value)


def _mean(values: Array) -> float | None:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else None
