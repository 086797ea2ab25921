"""Does a confidence of 0.9 mean that 90% of such pixels are right? The expected calibration error (ECE).

Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017: pixels are put in bins by
their confidence; in each bin the mean confidence is compared with the share of pixels that are right, and
the distances are averaged, each bin weighing as many as its pixels. Per class: of the pixels that were taken
for it (Gupta and Ramdas, "Top-label calibration and multiclass-to-binary reductions", ICLR 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.metrics.confusion import Labels, require_ids, require_same_shape
from edgeseg.metrics.interval import Interval, paired_interval

BINS = 15
"""Of equal width, each with its upper end: as in the paper."""
SLACK = 0.01
"""By which engines of 8 significant bits round a probability beyond 0 or 1."""

Sums = NDArray[np.float64]
"""[..., 3, C, BINS]: pixels, the sum of their confidence and how many are right, by the class that was
chosen. Those of several images add up."""


def calibration_sums(
    label: Labels,
    prediction: Labels,
    confidence: NDArray[np.float32],
    classes: int,
    ignore_index: int | None = None,
) -> Sums:
    """What one image adds, float64 [3, C, BINS].

    Args:
        label, prediction: class ids of any integer dtype and the same shape.
        confidence: probability of the class that was predicted, of that shape.
        ignore_index: pixels with this label are not counted.

    Raises:
        InputError: shapes differ, an id of a counted pixel is outside the classes, or the confidence of any
            pixel is no probability.

    >>> sums = calibration_sums(np.array([0, 0, 1]), np.array([0, 0, 0]), np.float32([0.5, 0.9, 0.9]), 2)
    >>> round(float(calibration_error(sums)), 3)
    0.433
    """
    require_same_shape(label, prediction, "label", "prediction")
    require_same_shape(label, confidence, "label", "the confidence")
    if not are_probabilities(confidence):
        raise InputError("the confidence holds values that are no probabilities", expected="0 to 1")
    keep = np.ones(label.shape, bool) if ignore_index is None else label != ignore_index
    right, chosen, sure = (label == prediction)[keep], prediction[keep], confidence[keep]
    require_ids("the prediction", chosen, classes)
    bins = np.clip(np.ceil(sure * np.float32(BINS)).astype(np.intp) - 1, 0, BINS - 1)
    cells = chosen.astype(np.intp) * BINS + bins
    weights = (None, sure, right)
    rows = [np.bincount(cells, weight, minlength=classes * BINS) for weight in weights]
    return np.stack(rows).astype(np.float64).reshape(3, classes, BINS)


def are_probabilities(confidence: NDArray[np.float32]) -> bool:
    """Whether all values lie in 0..1, but for SLACK; NaN does not."""
    return bool(((confidence >= -SLACK) & (confidence <= 1 + SLACK)).all())


def calibration_error(sums: Sums) -> Any:
    """ECE of all pixels, [...] in 0..1; NaN where nothing was counted."""
    return _error(*np.moveaxis(sums, -3, 0).sum(axis=-2))[()]


def class_calibration_error(sums: Sums) -> NDArray[np.float64]:
    """ECE of the pixels that were taken for each class, [..., C] in 0..1; NaN where there are none."""
    return _error(*np.moveaxis(sums, -3, 0))


def paired_rise(a: Sums, b: Sums, sequences: Sequence[str] = ()) -> Interval:
    """Rise of the ECE from A to B on the same images, of all pixels and per class: `paired_interval`.

    Args:
        a, b: [N, 3, C, BINS], of the same images in the same order, of the same labels.
        sequences: the video that each image comes from; empty: nothing tells.

    Raises:
        InputError: the shapes differ, or there is no image.
    """
    return paired_interval(_rises, _shown, a, b, sequences)


def _shown(a: Sums, b: Sums) -> tuple[Any, Any]:
    """A class: where both take pixels for it."""
    taken = [sums[:, 0].sum(axis=-1) > 0 for sums in (a, b)]
    return taken[0].any(axis=-1), taken[0] & taken[1]


def _rises(a: Sums, b: Sums) -> tuple[Any, Any]:
    """In points: [...] and [..., C]."""
    return (
        100.0 * (calibration_error(b) - calibration_error(a)),
        100.0 * (class_calibration_error(b) - class_calibration_error(a)),
    )


def _error(pixels: Any, sure: Any, right: Any) -> NDArray[np.float64]:
    """[..., BINS] to [...]: what the pixels of all bins miss, over how many there are."""
    missed, total = np.abs(right - sure).sum(axis=-1), pixels.sum(axis=-1)
    error: NDArray[np.float64] = np.divide(missed, total, out=np.full(total.shape, np.nan), where=total > 0)
    return error
