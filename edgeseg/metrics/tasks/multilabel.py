"""Mean Dice over bit masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.errors import InputError
from edgeseg.metrics.confusion import require_same_shape
from edgeseg.metrics.counts import Counts, Scores, mean_present, overlap, twice_overlap
from edgeseg.metrics.tasks import MetricTask
from edgeseg.metrics.tasks.sums import SumTask, only

NAMES = ("multilabel",)

_BITS = 8


class MeanDice(SumTask):
    """An ignored value is the bit of a label that marks pixels which do not count: behind those of the
    classes (in one byte more, maybe), or that of a class."""

    metric = "mean Dice"
    class_metric = "Dice"

    @staticmethod
    def score(counts: Counts) -> Scores:
        return twice_overlap(counts)

    def keep(self, label: Any, found: Any, *, full: bool = False) -> Counts:
        """Of bit masks [H,W,B]; of a label with B bytes of the classes, and of the ignored bit."""
        truth, guess = self._bytes(label), self._bytes(found)
        require_same_shape(truth, guess, "label", "prediction")
        if (ignored := self._ignored(label)) is not None:
            truth, guess = truth[~ignored], guess[~ignored]
        rows = (truth & guess, truth, guess)
        return np.stack([_pixels(row, self.classes) for row in rows])

    def further(self, total: Counts, among: NDArray[np.bool_]) -> tuple[dict[str, float], dict[str, Scores]]:
        union = only(overlap(total), among)
        return {"IoU": float(mean_present(union))}, {"IoU": union}

    def differs(self, a: Any, b: Any) -> NDArray[np.bool_]:
        """Pixels of which the bit of any class is another."""
        first, second = self._bytes(a), self._bytes(b)
        require_same_shape(first, second, "the first map", "the second")
        return np.asarray((first != second).any(axis=-1))

    def _bytes(self, masks: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Those of the classes, without other bits."""
        count = -(-self.classes // _BITS)
        if masks.dtype != np.uint8 or masks.ndim < 2 or masks.shape[-1] < count:
            raise InputError(
                f"bit masks are {masks.dtype} {list(masks.shape)}",
                expected=f"uint8 [H,W,{count}], for {self.classes} classes",
            )
        kept = np.packbits(np.arange(count * _BITS) < self.classes, bitorder="little")
        return np.asarray(masks[..., :count] & kept)

    def _ignored(self, masks: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
        """bool [...]; None where the masks have no such bit."""
        index = self.ignore_index
        if index is None or index // _BITS >= masks.shape[-1]:
            return None
        return np.asarray(masks[..., index // _BITS] >> (index % _BITS) & 1, bool)


def _pixels(masks: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Of each class, by a table over the 256 values of a byte: int64 [C]."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(np.int64)
    flat = masks.reshape(-1, masks.shape[-1])
    values = (np.bincount(flat[:, byte], minlength=256) for byte in range(flat.shape[1]))
    return np.concatenate([found @ bits for found in values])[:classes]


def task(spec: ModelSpec, ignore_index: int | None) -> MetricTask:
    return MeanDice(spec, ignore_index)
