"""One class per pixel: the largest score; of one channel, background and foreground by a threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.errors import EdgesegError, ModelError
from edgeseg.runtime.tasks import CONFIDENCE, Outputs, RuntimeTask
from edgeseg.runtime.tasks.maps import Float, MapTask, probability

NAMES = ("semantic",)

BYTE = 256
"""Classes that a uint8 map tells apart."""
MOST = 1 << 24
"""Ids that float32, in which engines decide, tells apart."""


class ClassMap(NamedTuple):
    """
    Attributes:
        class_map: class ids [H,W] or [N,H,W]: uint8, int32 for networks of more than 256 classes.
        confidence: float32 of the same shape, the probability of that class; None when the bundle was
            exported without it.
    """

    class_map: NDArray[np.uint8] | NDArray[np.int32]
    confidence: NDArray[np.float32] | None


class Semantic(MapTask):
    name = NAMES[0]
    output = "class_map"

    def classes(self, channels: int) -> int:
        return max(2, channels)

    def exclusive(self, channels: int) -> bool:
        return channels > 1

    def require_classes(self, who: str, count: int, error: type[EdgesegError] = ModelError) -> None:
        if count > MOST:
            raise error(f"{who} is a {self.name} network of {count} classes", expected=f"at most {MOST:,}")

    def pixel(self, spec: ModelSpec) -> tuple[str, tuple[int, ...]]:
        return id_dtype(len(spec.classes)), ()

    def decide(self, scores: Float, spec: ModelSpec) -> Array:
        """The first of equal scores; of one channel 1 where the score is above the threshold."""
        channels = scores.shape[1]
        self.require_classes(f"'{spec.name}'", channels)
        if self.exclusive(channels):
            return largest(scores)
        return np.asarray(self.above(scores, spec)[:, 0] > 0, np.uint8)

    def result(self, outputs: Outputs, spec: ModelSpec, camera: Size) -> ClassMap:
        return ClassMap(outputs[self.output], outputs.get(CONFIDENCE))

    def fault(self, outputs: Outputs, spec: ModelSpec) -> str:
        found, count = outputs[self.output], len(spec.classes)
        lowest, highest = int(found.min(initial=0)), int(found.max(initial=0))
        outside = lowest if lowest < 0 else highest
        return "" if 0 <= outside < count else f"the class {outside}, of {count} classes"

    def margins(
        self, scores: Array, spec: ModelSpec, rivals: Array | None = None
    ) -> tuple[Array, Array | None]:
        """Between the two best scores; of one channel, to its threshold."""
        if not self.exclusive(scores.shape[1]):
            return self.above(scores, spec), None
        best = two_best(scores) if rivals is None else rivals
        second, first = np.split(np.take_along_axis(scores, best, 1), 2, 1)
        return first - second, best

    def sureness(self, scores: Float, spec: ModelSpec) -> Float:
        """Of the class that was chosen."""
        if not self.exclusive(scores.shape[1]):
            foreground = probability(scores[:, 0], spec)
            return np.where(self.above(scores, spec)[:, 0] > 0, foreground, 1 - foreground)
        best = scores.max(axis=1)
        if spec.postprocess.activation != "logits":
            return np.asarray(best, np.float32)
        return np.asarray(1.0 / np.exp(scores - best[:, None]).sum(axis=1), np.float32)


def id_dtype(classes: int) -> str:
    """Of a map of class ids."""
    return "uint8" if classes <= BYTE else "int32"


def largest(scores: Float) -> Array:
    """`scores.argmax(axis=1)`, which would copy the scores to put the channels last."""
    dtype = np.dtype(id_dtype(scores.shape[1]))
    best = scores[:, 0].copy()
    index = np.zeros(best.shape, dtype)
    for channel in range(1, scores.shape[1]):
        values = scores[:, channel]
        np.maximum(index, (values > best) * dtype.type(channel), out=index)
        np.maximum(best, values, out=best)
    if np.isnan(best).any():
        return np.asarray(scores.argmax(axis=1), dtype)
    return index


def two_best(scores: Float) -> Array:
    """The last two channels of `argpartition`, [N,2,H,W]. That sorts, and is asked only where more than two
    scores could be meant, or one is no number."""
    first, second = scores[:, 0].copy(), np.full_like(scores[:, 0], -np.inf)
    channels, dtype = range(scores.shape[1]), np.dtype(id_dtype(scores.shape[1]))
    for channel in channels[1:]:
        values = scores[:, channel]
        np.maximum(second, np.minimum(first, values), out=second)
        np.maximum(first, values, out=first)
    best = np.zeros((len(scores), 2, *scores.shape[2:]), dtype)
    reached = np.zeros(first.shape, np.int32)
    for channel in channels:
        values, number = scores[:, channel], dtype.type(channel)
        for place, value in enumerate((second, first)):
            np.maximum(best[:, place], (values == value) * number, out=best[:, place])
        reached += values >= second
    unclear = (reached != 2) | (first == second)
    if unclear.any():
        asked = np.moveaxis(scores, 1, -1)[unclear]
        np.moveaxis(best, 1, -1)[unclear] = np.argpartition(asked, -2, axis=1)[:, -2:]
    return best


def task(name: str) -> RuntimeTask:
    return Semantic()
