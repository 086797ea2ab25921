"""What tasks share that decide pixel by pixel from scores [N,C,H,W]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Placement, Size
from edgeseg.errors import ModelError
from edgeseg.runtime.resize import bilinear, nearest
from edgeseg.runtime.tasks import CONFIDENCE, Outputs

Float = NDArray[np.float32]


class MapTask(ABC):
    """A task with one output of the size of the frame, [N,H,W,...].

    Attributes:
        output: its name.
    """

    name: str
    output: str

    @abstractmethod
    def pixel(self, spec: ModelSpec) -> tuple[str, tuple[int, ...]]:
        """Dtype and shape of what the output holds for a pixel."""

    @abstractmethod
    def decide(self, scores: Float, spec: ModelSpec) -> Array:
        """float32 [N,C,H,W] to [N,...,H,W]."""

    def outputs(
        self, spec: ModelSpec, batch: int, camera: Size, *, confidence: bool = False
    ) -> tuple[TensorInfo, ...]:
        dtype, pixel = self.pixel(spec)
        shape = (batch, *camera)
        found = (TensorInfo(self.output, dtype, (*shape, *pixel)),)
        return (*found, TensorInfo(CONFIDENCE, "float32", shape)) if confidence else found

    def scores(self, network: Outputs, spec: ModelSpec) -> Array:
        return network[spec.postprocess.output or next(iter(network))]

    def decode(self, scores: Float, spec: ModelSpec, placement: Placement) -> Outputs:
        """Crop the padding, resize to the camera, decide; with `upsample="labels"` the decision comes before
        the last resize, which is then nearest.

        Raises:
            ModelError: more classes than the output holds, or scores of another rank.
        """
        decided = self.decide(self.placed(scores, spec, placement), spec)
        if decided.shape[-2:] != placement.frame:
            decided = nearest(decided, placement.frame)
        return {self.output: self.finished(decided)}

    def finished(self, decided: Array) -> Array:
        """Decisions [N,...,H,W] as the output holds them."""
        return decided

    def found(self, outputs: Outputs) -> Array:
        return outputs[self.output]

    def same(self, a: Outputs, b: Outputs) -> NDArray[np.bool_]:
        return np.asarray(a[self.output] == b[self.output])

    def placed(self, scores: Float, spec: ModelSpec, placement: Placement) -> Float:
        """Without padding, at camera size where scores are resized first. Scores at another size than the
        network input (a stride-4 head) are resized to it before."""
        if scores.ndim != 4:
            raise ModelError(f"scores have the shape {list(scores.shape)}", expected="[N,C,H,W]")
        if scores.shape[2:] != placement.input:
            scores = bilinear(scores, placement.input)
        (top, bottom), (left, right) = placement.window
        scores = scores[:, :, top:bottom, left:right]
        return bilinear(scores, placement.frame) if spec.postprocess.upsample == "scores" else scores

    def above(self, scores: Float, spec: ModelSpec) -> Float:
        """Scores less the threshold of their channel."""
        thresholds = np.array(spec.postprocess.score_thresholds(scores.shape[1]), np.float32)
        return np.asarray(scores - thresholds[:, None, None])

    def compared(self, stable: NDArray[Any], placement: Placement) -> NDArray[Any]:
        return nearest(stable, placement.frame)
