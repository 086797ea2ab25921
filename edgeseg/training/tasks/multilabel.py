"""Losses over logits [N,C,H,W], each for itself, and targets uint8 [N,C+1,H,W]: 1 where a class is, and in
the last plane where pixels count."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Size
from edgeseg.datasets.tasks import labels_of
from edgeseg.runtime.resize import nearest
from edgeseg.runtime.tasks.multilabel import bytes_of, mask_of, unpacked
from edgeseg.training.tasks import Loss, TrainTask
from edgeseg.training.tasks.maps import MapTargets
from edgeseg.training.tasks.semantic import FOCUS, TEMPERATURE, soft_dice, undone

NAMES = ("multilabel",)

LEVELS = tuple(level / 20 for level in range(1, 20))
"""Thresholds that are tried: probabilities 0.05 to 0.95."""


class BitTargets(MapTargets):
    usual = "bce+dice"

    @property
    def losses(self) -> dict[str, Loss]:
        return {"bce": binary_entropy, "dice": dice, "focal": focal}

    def drawn(self, label: Array, classes: int, ignore_index: int | None) -> Array:
        """The bytes of the classes, and one that is 1 where pixels count: uint8 [H,W,B+1]."""
        counts = _counted(label, ignore_index)[..., None].astype(np.uint8)
        return np.concatenate([label[..., : bytes_of(classes)], counts], axis=-1)

    def target(self, drawn: Array, size: Size, corner: tuple[int, int], classes: int) -> torch.Tensor:
        placed = np.zeros((classes + 1, *size), np.uint8)
        (top, left), (height, width) = corner, drawn.shape[:2]
        inside = (slice(top, top + height), slice(left, left + width))
        bits = unpacked(np.ascontiguousarray(drawn[..., :-1]), classes)
        placed[(slice(0, classes), *inside)] = np.moveaxis(bits, -1, 0)
        placed[(classes, *inside)] = drawn[..., -1]
        return torch.from_numpy(placed)

    def logits(self, scores: torch.Tensor, contract: Postprocess) -> torch.Tensor:
        return undone(scores, contract)

    def distil(self, logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """Binary cross-entropy to the teacher's softened probabilities, less its own entropy; mean over all
        pixels and sum over the classes, times the square of the temperature."""
        truth = (teacher / TEMPERATURE).sigmoid()
        entropy = F.binary_cross_entropy_with_logits(logits / TEMPERATURE, truth, reduction="none")
        least = F.binary_cross_entropy_with_logits(teacher / TEMPERATURE, truth, reduction="none")
        return TEMPERATURE**2 * (entropy - least).sum(dim=1).mean()

    def thresholds(
        self, pairs: Iterable[tuple[Any, Array]], spec: ModelSpec, ignore_index: int | None
    ) -> tuple[float, ...]:
        """The one of LEVELS with the best Dice over all images; of equal ones that nearest to the stated one,
        which a class without a labelled pixel keeps."""
        classes, count = len(spec.classes), len(LEVELS)
        stated = np.array(spec.postprocess.thresholds(classes))
        tried = msgspec.structs.replace(spec.postprocess, threshold=LEVELS).score_thresholds(count)
        levels = np.array(tried, np.float32)
        found, hit = np.zeros((2, classes, count + 1), np.int64)
        for label, scores in pairs:
            truth, counts = _truth(label, classes, ignore_index)
            placed = nearest(scores, (truth.shape[1], truth.shape[2]))
            for index in range(classes):
                passed = np.searchsorted(levels, placed[index], side="left")
                found[index] += np.bincount(passed[counts], minlength=count + 1)
                hit[index] += np.bincount(passed[counts & truth[index]], minlength=count + 1)
        above = [np.cumsum(one[:, ::-1], axis=1)[:, ::-1][:, 1:] for one in (found, hit)]
        dice = 2 * above[1] / np.maximum(above[0] + hit.sum(axis=1, keepdims=True), 1)
        distance = np.abs(np.array(LEVELS) - stated[:, None])
        best = np.where(dice == dice.max(axis=1, keepdims=True), distance, np.inf).argmin(axis=1)
        shown = hit.sum(axis=1) > 0
        return tuple(np.where(shown, np.array(LEVELS)[best], stated).tolist())


def _truth(
    label: Array, classes: int, ignore_index: int | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where each class is, bool [C,H,W], and where pixels count, bool [H,W]."""
    return np.stack([mask_of(label, i) for i in range(classes)]), _counted(label, ignore_index)


def _counted(label: Array, ignore_index: int | None) -> NDArray[np.bool_]:
    """Pixels that count, bool [H,W]."""
    if ignore_index is None:
        return np.ones(label.shape[:2], bool)
    return ~labels_of(NAMES[0]).ignored(label, ignore_index)


def binary_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean over classes and pixels that count; 0 when there is none."""
    entropy, counts = _per_bit(logits, target)
    return _mean(entropy, counts)


def focal(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy weighted by (1 - p)^2 (Lin et al. 2017, arXiv:1708.02002)."""
    entropy, counts = _per_bit(logits, target)
    return _mean((1.0 - torch.exp(-entropy)) ** FOCUS * entropy, counts)


def dice(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - soft Dice of each class that is in the batch, their mean (Milletari et al. 2016,
    arXiv:1606.04797)."""
    truth, counts = target[:, :-1], target[:, -1:]
    return soft_dice(logits.sigmoid() * counts, truth * counts)


def _per_bit(logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Binary cross-entropy [N,C,H,W], and where pixels count [N,1,H,W]."""
    truth, counts = target[:, :-1].to(logits.dtype), target[:, -1:].to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="none"), counts


def _mean(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    return (values * counts).sum() / (counts.sum() * values.shape[1]).clamp(min=1)


def task(name: str) -> TrainTask:
    return BitTargets()
