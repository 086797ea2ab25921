"""Which output of a network counts, and what was already applied to it. Pure NumPy.

The rule, for networks that do not state their contract:

1. Of the float NCHW outputs, the one with the most pixels counts; of several, the first.
2. Its values on random images decide: all in 0..1 and summing to 1 over the channels: softmax;
   all in 0..1: sigmoid; else logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SUM_TOLERANCE = 1e-3
Activation = Literal["logits", "sigmoid", "softmax"]


def score_output(outputs: Mapping[str, NDArray[Any]]) -> str | None:
    """Name of the output that counts; None when no output is float [N,C,H,W]."""
    best, pixels = None, 0
    for name, value in outputs.items():
        if value.ndim == 4 and np.issubdtype(value.dtype, np.floating):
            size = value.shape[2] * value.shape[3]
            if size > pixels:
                best, pixels = name, size
    return best


def activation_of(scores: NDArray[Any]) -> Activation:
    """What was applied to scores [N,C,H,W], judged by their values on random images."""
    if scores.min() < 0.0 or scores.max() > 1.0:
        return "logits"
    if scores.shape[1] > 1 and np.abs(scores.sum(axis=1) - 1.0).max() < SUM_TOLERANCE:
        return "softmax"
    return "sigmoid"
