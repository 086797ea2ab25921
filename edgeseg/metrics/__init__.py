"""Accuracy of class maps and of instances. Pure NumPy functions on label ids, confusion matrices and matches.

Accuracy is at the level of the dataset: counts are summed over all images, then divided
(Everingham et al., "The PASCAL Visual Object Classes Challenge", 2010).
"""

from __future__ import annotations

from edgeseg.core.instances import Instances
from edgeseg.metrics.agreement import agreement
from edgeseg.metrics.average_precision import average_precision, precision_tables
from edgeseg.metrics.boundary import BoundaryCounts, boundary_counts, boundary_iou, boundary_width
from edgeseg.metrics.calibration_error import (
    are_probabilities,
    calibration_error,
    calibration_sums,
    class_calibration_error,
    paired_rise,
)
from edgeseg.metrics.confusion import confusion
from edgeseg.metrics.counts import mean_present
from edgeseg.metrics.drop import drop_of_counts, paired_drop
from edgeseg.metrics.interval import Interval
from edgeseg.metrics.matching import Matches, matches
from edgeseg.metrics.precision_drop import precision_drop
from edgeseg.metrics.scores import (
    dice,
    iou,
    known,
    labelled,
    mean_iou,
    pixel_accuracy,
    precision,
    recall,
)

__all__ = [
    "BoundaryCounts",
    "Instances",
    "Interval",
    "Matches",
    "agreement",
    "are_probabilities",
    "average_precision",
    "boundary_counts",
    "boundary_iou",
    "boundary_width",
    "calibration_error",
    "calibration_sums",
    "class_calibration_error",
    "confusion",
    "dice",
    "drop_of_counts",
    "iou",
    "known",
    "labelled",
    "matches",
    "mean_iou",
    "mean_present",
    "paired_drop",
    "paired_rise",
    "pixel_accuracy",
    "precision",
    "precision_drop",
    "precision_tables",
    "recall",
]
