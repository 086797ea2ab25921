"""Is a drop real? The interval of a paired difference of IoU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.metrics.interval import Interval, paired_interval
from edgeseg.metrics.scores import iou, labelled, mean_present

Matrices = NDArray[Any]


def paired_drop(
    a: Matrices, b: Matrices, sequences: Sequence[str] = (), *, confidence: float = 0.95
) -> Interval:
    """Drop of dataset-level IoU from A to B on the same images, mean and per class: `paired_interval`.

    Args:
        a, b: one confusion matrix per image, [N,C,C], in the same order of images, of the same labels.
        sequences: the video that each image comes from; empty: nothing tells.

    Raises:
        InputError: the shapes differ, or there is no image.
    """
    if a.ndim != 3:
        raise InputError(
            f"confusion matrices of the shape {list(a.shape)} cannot be paired",
            expected="[images, classes, classes]",
        )
    return paired_interval(_drops, _shown, a, b, sequences, confidence=confidence)


def _shown(a: Matrices, b: Matrices) -> tuple[Any, Any]:
    classes = labelled(a)
    return classes.any(axis=-1), classes


def _drops(a: Matrices, b: Matrices) -> tuple[Any, Any]:
    """Drops in points: [...] and [..., C]."""
    among = labelled(a)
    first, second = iou(a, among), iou(b, among)
    return 100.0 * (mean_present(first) - mean_present(second)), 100.0 * (first - second)
