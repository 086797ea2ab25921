"""What a network already applied to its scores, for networks that do not state it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SUM_TOLERANCE = 1e-3
Activation = Literal["logits", "sigmoid", "softmax"]


def activation_of(scores: NDArray[Any]) -> Activation:
    """Judge scores [N,C,...] by their values on random images.

    All in 0..1 and summing to 1 over the channels: softmax; all in 0..1: sigmoid; else logits. Zeros alone,
    as an untrained head gives them, are logits.
    """
    if not (scores.min() >= 0.0 and scores.max() <= 1.0 and scores.any()):
        return "logits"
    channels = scores.shape[1] if scores.ndim > 1 else 1
    if channels > 1 and np.abs(scores.sum(axis=1) - 1.0).max() < SUM_TOLERANCE:
        return "softmax"
    return "sigmoid"
