"""Losses over logits [N,C,H,W], each for itself, and targets uint8 [N,C+1,H,W]: 1 where a class is, and in
the last plane where pixels count."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from edgeseg.core.ports import Array
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Size
from edgeseg.runtime.tasks.multilabel import bytes_of, mask_of, unpacked
from edgeseg.training.tasks import Loss, TrainTask
from edgeseg.training.tasks.semantic import FOCUS, TEMPERATURE, soft_dice, undone

NAMES = ("multilabel",)


class BitTargets:
    usual = "bce+dice"

    @property
    def losses(self) -> dict[str, Loss]:
        return {"bce": binary_entropy, "dice": dice, "focal": focal}

    def drawn(self, label: Array, classes: int, ignore_index: int | None) -> Array:
        """The bytes of the classes, and one that is 1 where pixels count: uint8 [H,W,B+1]."""
        counts = np.ones(label.shape[:2], bool) if ignore_index is None else ~mask_of(label, ignore_index)
        return np.concatenate([label[..., : bytes_of(classes)], counts[..., None].astype(np.uint8)], axis=-1)

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
