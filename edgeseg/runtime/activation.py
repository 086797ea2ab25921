"""What a network already applied to its scores, for networks that do not state it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from edgeseg.runtime.seen import Seen

SUM_TOLERANCE = 1e-3
Activation = Literal["logits", "sigmoid", "softmax"]


def activation_of(runs: Sequence[Seen]) -> Activation:
    """Judge scores [N,C,H,W] by their values on random images.

    All in 0..1 and summing to 1 over the channels: softmax; all in 0..1: sigmoid; else logits. Zeros alone,
    as an untrained head gives them, are logits.
    """
    if not (all(run.low >= 0.0 and run.high <= 1.0 for run in runs) and any(run.any for run in runs)):
        return "logits"
    if runs[0].shape[1] > 1 and max(run.sums for run in runs) < SUM_TOLERANCE:
        return "softmax"
    return "sigmoid"
