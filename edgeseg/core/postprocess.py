"""The one contract for pixels out: from the network's output to a class map at camera size."""

from __future__ import annotations

import math
from typing import Literal

import msgspec


class Postprocess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Network output (float NCHW scores) to a uint8 class map or bit mask (NHW) at camera size.

    Attributes:
        output: name of the network output that counts; empty: the only one.
        activation: what the network already applied to that output.
        threshold: probability from which a pixel is foreground, for one-channel and multi-label
            outputs.
        upsample: `scores`: class scores are resized to camera pixels, then decided (smooth
            borders); `labels`: the decision is made at network size and resized by nearest
            neighbour (cheaper for large cameras).
        stretch: the scores cover the whole network input although their size is no whole fraction of its
            size; else such a network is refused.
    """

    output: str = ""
    activation: Literal["logits", "sigmoid", "softmax"] = "logits"
    threshold: float = 0.5
    upsample: Literal["scores", "labels"] = "scores"
    stretch: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f"threshold is {self.threshold}, expected between 0 and 1")

    def score_threshold(self) -> float:
        """`threshold` in units of the network's own output: no sigmoid is needed to decide."""
        if self.activation == "logits":
            return math.log(self.threshold / (1.0 - self.threshold))
        return self.threshold
