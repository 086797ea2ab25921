"""The one contract for pixels out: from the network's scores to what is decided at camera size."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from edgeseg.core.instances import InstanceOutputs
from edgeseg.errors import ModelError


class Postprocess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Network output (float NCHW scores) to class maps or bit masks at camera size.

    Attributes:
        output: name of the network output that counts; empty: the only one.
        activation: what the network already applied to that output.
        threshold: probability from which a pixel is foreground, for one-channel and multi-label
            outputs; of the latter also one for each class. Of instances the score from which one is drawn
            and counted.
        upsample: `scores`: class scores are resized to camera pixels, then decided (smooth
            borders); `labels`: the decision is made at network size and resized by nearest
            neighbour (cheaper for large cameras).
        stretch: the scores cover the whole network input although their size is no whole fraction of its
            size; else such a network is refused.
        instances: what a network of instances returns; None: it is none.
        paste: who makes masks of the frame's size from those of instances: the `runtime`, of what was found,
            or the `engine`, of all its rows.
        first_label: number of the first class in the labels of an ONNX file of instances: 1 where 0 is the
            background.
    """

    output: str = ""
    activation: Literal["logits", "sigmoid", "softmax"] = "logits"
    threshold: float | tuple[float, ...] = 0.5
    upsample: Literal["scores", "labels"] = "scores"
    stretch: bool = False
    instances: InstanceOutputs | None = None
    paste: Literal["runtime", "engine"] = "runtime"
    first_label: int = 0

    def __post_init__(self) -> None:
        each = self.threshold if isinstance(self.threshold, tuple) else (self.threshold,)
        if not each or not all(0.0 < one < 1.0 for one in each):
            raise ValueError(f"threshold is {self.threshold}, expected between 0 and 1")

    def thresholds(self, channels: int) -> tuple[float, ...]:
        """`threshold` of each channel.

        Raises:
            ModelError: as many are stated as there are no channels.
        """
        if not isinstance(self.threshold, tuple):
            return (self.threshold,) * channels
        if len(self.threshold) != channels:
            raise ModelError(
                f"{len(self.threshold)} thresholds are stated for {channels} channel(s) of scores",
                expected="one threshold, or one for each class of a multi-label network",
            )
        return self.threshold

    def score_thresholds(self, channels: int) -> tuple[float, ...]:
        """The same in units of the network's own output: no sigmoid is needed to decide."""
        found = self.thresholds(channels)
        if self.activation == "logits":
            return tuple(math.log(one / (1.0 - one)) for one in found)
        return found
