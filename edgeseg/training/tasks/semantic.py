"""Losses over class logits [N,C,H,W] and class ids int64 [N,H,W]."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from edgeseg.core.ports import Array
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Size
from edgeseg.training.tasks import Loss, TrainTask
from edgeseg.training.tasks.maps import MapTargets

NAMES = ("semantic",)

IGNORE = -1
"""Target of pixels that do not count: void, and the padding of crops."""

FOCUS = 2.0
TEMPERATURE = 2.0


class ClassTargets(MapTargets):
    usual = "ce"

    @property
    def losses(self) -> dict[str, Loss]:
        return {"ce": cross_entropy, "dice": dice, "focal": focal}

    def drawn(self, label: Array, classes: int, ignore_index: int | None) -> Array:
        """Class ids with IGNORE in place of `ignore_index`, int32 [H,W]."""
        ids = label.astype(np.int32)
        return ids if ignore_index is None else np.where(ids == ignore_index, np.int32(IGNORE), ids)

    def target(self, drawn: Array, size: Size, corner: tuple[int, int], classes: int) -> torch.Tensor:
        """int64 [h,w]."""
        placed = np.full(size, IGNORE, np.int64)
        (top, left), (height, width) = corner, drawn.shape
        placed[top : top + height, left : left + width] = drawn
        return torch.from_numpy(placed)

    def logits(self, scores: torch.Tensor, contract: Postprocess) -> torch.Tensor:
        return class_logits(scores, contract)

    def distil(self, logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        return distil(logits, teacher)


def cross_entropy(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Mean over the pixels that count; 0 when there is none."""
    return _per_pixel(logits, label).sum() / _counted(label)


def focal(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Cross-entropy weighted by (1 - p)^2 (Lin et al. 2017, arXiv:1708.02002), mean over the pixels."""
    entropy = _per_pixel(logits, label)
    return ((1.0 - torch.exp(-entropy)) ** FOCUS * entropy).sum() / _counted(label)


def dice(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """1 - soft Dice, mean over the classes in the batch (Milletari et al. 2016, arXiv:1606.04797)."""
    counts = (label != IGNORE)[:, None]
    probability = logits.softmax(dim=1) * counts
    truth = F.one_hot(label.masked_fill(label == IGNORE, 0), logits.shape[1]).movedim(-1, 1) * counts
    return soft_dice(probability, truth)


def soft_dice(probability: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """1 - Dice of [N,C,H,W], 0 where nothing counts, mean over the classes in the batch."""
    axes = (0, 2, 3)
    overlap = (probability * truth).sum(axes)
    pixels = truth.sum(axes)
    score = 2.0 * overlap / (probability.sum(axes) + pixels).clamp(min=1e-6)
    present = pixels > 0
    return (1.0 - score)[present].sum() / present.sum().clamp(min=1)


def distil(logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """KL divergence from the teacher's softened classes (Hinton et al. 2015, arXiv:1503.02531), mean over all
    pixels, labelled or not; times the square of the temperature."""
    student = F.log_softmax(logits / TEMPERATURE, dim=1)
    truth = F.log_softmax(teacher / TEMPERATURE, dim=1)
    divergence = F.kl_div(student, truth, reduction="none", log_target=True)
    return TEMPERATURE**2 * divergence.sum(dim=1).mean()


def class_logits(scores: torch.Tensor, contract: Postprocess) -> torch.Tensor:
    """Network scores [N,C,H,W] as logits with one channel per class.

    Undoes a sigmoid or softmax inside the network. One channel x becomes (0, x), whose softmax is
    (1 - sigmoid(x), sigmoid(x)).
    """
    scores = undone(scores, contract)
    return torch.cat([torch.zeros_like(scores), scores], dim=1) if scores.shape[1] == 1 else scores


def undone(scores: torch.Tensor, contract: Postprocess) -> torch.Tensor:
    """float32, before the network's own sigmoid or softmax."""
    scores = scores.float()
    if contract.activation == "softmax":
        return scores.clamp(min=1e-7).log()
    return scores.logit(eps=1e-6) if contract.activation == "sigmoid" else scores


def _per_pixel(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits, label, ignore_index=IGNORE, reduction="none")


def _counted(label: torch.Tensor) -> torch.Tensor:
    return (label != IGNORE).sum().clamp(min=1)


def task(name: str) -> TrainTask:
    return ClassTargets()
