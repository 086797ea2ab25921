"""A threshold per class, and the bits of eight classes in a byte."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.preprocess import Placement
from edgeseg.core.quantization import ScoreGrid
from edgeseg.graph.tasks import GraphTask
from edgeseg.graph.tasks.maps import MapTail, finish, finish_confidence, flatten, read_scores
from edgeseg.graph.writer import Writer
from edgeseg.runtime.tasks import task_of
from edgeseg.runtime.tasks.multilabel import BITS, bytes_of

NAMES = ("multilabel",)


class MultilabelTail(MapTail):
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
        batch, channels = scores.shape[:2]
        flat, size = flatten(write, scores, spec, place)
        thresholds = np.array(spec.postprocess.score_thresholds(channels), np.float32).reshape(1, -1, 1)
        above = write.op("Greater", "above", [flat, write.constant("thresholds", thresholds)])
        bits = write.op("Cast", "bits", [above], to=TensorProto.FLOAT)
        (output,) = task_of(spec).outputs(spec, batch, place.camera)
        shape = (batch, *size, bytes_of(channels))
        finish(write, _bytes(write, bits, channels), shape, place, output.name, TensorProto.UINT8)
        if confidence:
            if spec.postprocess.activation == "logits":
                flat = write.op("Sigmoid", "sigmoid", [flat])
            finish_confidence(write, write.reduce("ReduceMax", flat, "best"), batch, size, place)


def _bytes(write: Writer, bits: str, channels: int) -> str:
    """0 or 1 [N,C,P] to 0..255 [N,P,ceil(C/8)], as float32.

    Sums of powers of two below 256 are whole numbers that float16, bfloat16 and TF32 hold.
    """
    weights = np.zeros((channels, bytes_of(channels)), np.float32)
    weights[np.arange(channels), np.arange(channels) // BITS] = 2.0 ** (np.arange(channels) % BITS)
    last = write.op("Transpose", "channels_last", [bits], perm=[0, 2, 1])
    return write.op("MatMul", "bytes", [last, write.constant("bit_values", weights)])


def task(name: str) -> GraphTask:
    return MultilabelTail()
