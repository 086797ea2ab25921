"""ArgMax over the classes; of one channel, a threshold."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.preprocess import Placement
from edgeseg.core.quantization import ScoreGrid
from edgeseg.graph.tasks import GraphTask
from edgeseg.graph.tasks.maps import MapTail, Scores, finish, finish_confidence, flatten, read_scores
from edgeseg.graph.writer import Writer
from edgeseg.runtime.tasks import task_of

NAMES = ("semantic",)


class SemanticTail(MapTail):
    def write(
        self,
        write: Writer,
        plain: ModelProto,
        spec: ModelSpec,
        place: Placement,
        *,
        confidence: bool,
        score_grid: ScoreGrid | None,
    ) -> None:
        scores = read_scores(write, plain, spec, place)
        batch, several = scores.shape[0], scores.channels > 1
        if score_grid and several and not confidence and _at_once(scores, spec, place):
            scores = scores._replace(tensor=write.quantize(scores.tensor, score_grid))
        flat, size = flatten(write, scores, spec, place)
        labels, above = _argmax(write, flat) if several else _foreground(write, flat, spec)
        (output,) = task_of(spec).outputs(spec, batch, place.camera)
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(output.dtype))
        finish(write, labels, (batch, *size), place, output.name, dtype)
        if confidence:
            best = _best(write, flat, above, spec)
            finish_confidence(write, best, batch, size, place)


def _at_once(scores: Scores, spec: ModelSpec, place: Placement) -> bool:
    """Whether the decision reads scores as the network gives them, not interpolated to the camera."""
    resized = place.resized and spec.postprocess.upsample == "scores"
    return scores.at_frame(place) and not resized


def _argmax(write: Writer, flat: str) -> tuple[str, str]:
    return write.op("ArgMax", "argmax", [flat], axis=1, keepdims=0), ""


def _foreground(write: Writer, flat: str, spec: ModelSpec) -> tuple[str, str]:
    """0 or 1 as float32 [N,H*W], and the same as bool [N,1,H*W]."""
    (threshold,) = spec.postprocess.score_thresholds(1)
    above = write.op("Greater", "above", [flat, write.constant("threshold", np.array(threshold, np.float32))])
    bits = write.op("Cast", "bits", [above], to=TensorProto.FLOAT)
    return write.reduce("ReduceSum", bits, "mask"), above


def _best(write: Writer, flat: str, above: str, spec: ModelSpec) -> str:
    """Probability of the class that was chosen, float32 [N,H*W]."""
    if spec.postprocess.activation == "logits":
        flat = write.op("Sigmoid", "sigmoid", [flat]) if above else _softmax(write, flat)
    if above:
        one = write.constant("one", np.array(1.0, np.float32))
        flat = write.op("Where", "of_chosen", [above, flat, write.op("Sub", "background", [one, flat])])
    return write.reduce("ReduceMax", flat, "best")


def _softmax(write: Writer, flat: str) -> str:
    return write.op("Softmax", "softmax", [flat], axis=1)


def task(name: str) -> GraphTask:
    return SemanticTail()
