"""Classes that overlap: each has a threshold, and a bit in every pixel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Placement, Size
from edgeseg.errors import EdgesegError, ModelError
from edgeseg.runtime.resize import nearest
from edgeseg.runtime.tasks import CONFIDENCE, Outputs, RuntimeTask
from edgeseg.runtime.tasks.maps import Float, MapTask, probability

NAMES = ("multilabel",)

BITS = 8
_SET = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
"""How many bits each value of a byte has."""


class BitMasks(NamedTuple):
    """
    Attributes:
        bit_masks: uint8 [H,W,B] or [N,H,W,B], B = ceil(C/8): bit k of byte j is class 8j + k.
        confidence: float32 [H,W] or [N,H,W], the probability of the most probable class; None when the
            bundle was exported without it.
    """

    bit_masks: NDArray[np.uint8]
    confidence: NDArray[np.float32] | None

    def mask(self, index: int) -> NDArray[np.bool_]:
        """Where a class is, bool [H,W] or [N,H,W]."""
        return mask_of(self.bit_masks, index)


class Multilabel(MapTask):
    name = NAMES[0]
    output = "bit_masks"
    decisions = "bits"
    slips = 0.2
    """A pixel that a fault moves has few wrong bits among many."""

    def classes(self, channels: int) -> int:
        return channels

    def exclusive(self, channels: int) -> bool:
        return False

    def require_classes(self, who: str, count: int, error: type[EdgesegError] = ModelError) -> None:
        """Bits hold any number of classes."""

    def pixel(self, spec: ModelSpec) -> tuple[str, tuple[int, ...]]:
        return "uint8", (bytes_of(len(spec.classes)),)

    def decide(self, scores: Float, spec: ModelSpec) -> Array:
        """uint8 [N,B,H,W]: bit c is set where score c is above its threshold."""
        return np.packbits(self.above(scores, spec) > 0, axis=1, bitorder="little")

    def finished(self, decided: Array) -> Array:
        return np.ascontiguousarray(np.moveaxis(decided, 1, -1))

    def result(self, outputs: Outputs, spec: ModelSpec, camera: Size) -> BitMasks:
        return BitMasks(outputs[self.output], outputs.get(CONFIDENCE))

    def fault(self, outputs: Outputs, spec: ModelSpec) -> str:
        count = len(spec.classes)
        spare = range(count, BITS * bytes_of(count))
        foreign = [index for index in spare if mask_of(outputs[self.output], index).any()]
        return f"the bit of class {foreign[0]}, of {count} classes" if foreign else ""

    def same(self, a: Outputs, b: Outputs) -> NDArray[np.bool_]:
        """Pixels of which every bit is equal."""
        return np.asarray(super().same(a, b).all(axis=-1))

    def compared(self, stable: NDArray[Any], placement: Placement) -> NDArray[Any]:
        """Bits, packed as `bit_masks`: a pixel of many classes is hardly ever stable in all of them."""
        return self.finished(nearest(np.packbits(stable, axis=1, bitorder="little"), placement.frame))

    def marks(self, outputs: Outputs) -> tuple[str, tuple[int, ...]]:
        return "uint8", outputs[self.output].shape

    def agreeing(self, a: Outputs, b: Outputs, marks: NDArray[Any]) -> tuple[int, int]:
        marked = _set_bits(marks)
        return marked - _set_bits((a[self.output] ^ b[self.output]) & marks), marked

    def share(self, marks: NDArray[Any], spec: ModelSpec) -> float:
        return _set_bits(marks) / (marks[..., 0].size * len(spec.classes))

    def margins(
        self, scores: Array, spec: ModelSpec, rivals: Array | None = None
    ) -> tuple[Array, Array | None]:
        """Of each score to its threshold."""
        return self.above(scores, spec), None

    def sureness(self, scores: Float, spec: ModelSpec) -> Float:
        """Of the most probable class, chosen or not."""
        return probability(scores.max(axis=1), spec)


def _set_bits(values: NDArray[np.uint8]) -> int:
    return int(_SET[values].sum(dtype=np.int64))


def bytes_of(classes: int) -> int:
    """Of a pixel that has a bit for each class.

    >>> [bytes_of(count) for count in (1, 8, 9, 29)]
    [1, 1, 2, 4]
    """
    return -(-classes // BITS)


def mask_of(bit_masks: NDArray[np.uint8], index: int) -> NDArray[np.bool_]:
    """Where a class is: uint8 [...,B] to bool [...].

    >>> mask_of(np.array([[0b1, 0b10]], np.uint8), 9)
    array([ True])
    """
    return np.asarray(bit_masks[..., index // BITS] >> (index % BITS) & 1, bool)


def unpacked(bit_masks: NDArray[np.uint8], classes: int) -> NDArray[np.bool_]:
    """uint8 [...,B] to bool [...,C]."""
    return np.unpackbits(bit_masks, axis=-1, count=classes, bitorder="little").view(bool)


def packed(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """bool [...,C] to uint8 [...,B]."""
    return np.packbits(masks, axis=-1, bitorder="little")


def task(name: str) -> RuntimeTask:
    return Multilabel()
