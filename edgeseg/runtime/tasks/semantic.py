"""One class per pixel: the largest score; of one channel, background and foreground by a threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.errors import EdgesegError, ModelError
from edgeseg.runtime.tasks import CONFIDENCE, Outputs, RuntimeTask
from edgeseg.runtime.tasks.maps import Float, MapTask

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
            return np.asarray(scores.argmax(axis=1), id_dtype(channels))
        return np.asarray(self.above(scores, spec)[:, 0] > 0, np.uint8)

    def result(self, outputs: Outputs) -> ClassMap:
        return ClassMap(outputs[self.output], outputs.get(CONFIDENCE))

    def fault(self, outputs: Outputs, spec: ModelSpec) -> str:
        found, count = outputs[self.output], len(spec.classes)
        lowest, highest = int(found.min(initial=0)), int(found.max(initial=0))
        outside = lowest if lowest < 0 else highest
        return "" if 0 <= outside < count else f"the class {outside}, of {count} classes"

    def margins(self, exact: Array, found: Array, spec: ModelSpec) -> tuple[Array, Array]:
        """Between the two best scores; of one channel, to its threshold."""
        if not self.exclusive(exact.shape[1]):
            return self.above(exact, spec), self.above(found, spec)
        best = np.argpartition(exact, -2, axis=1)[:, -2:]
        second, first = np.split(np.take_along_axis(exact, best, 1), 2, 1)
        second_found, first_found = np.split(np.take_along_axis(found, best, 1), 2, 1)
        return first - second, first_found - second_found


def id_dtype(classes: int) -> str:
    """Of a map of class ids."""
    return "uint8" if classes <= BYTE else "int32"


def task(name: str) -> RuntimeTask:
    return Semantic()
