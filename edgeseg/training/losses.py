"""Losses over class logits [N,C,H,W] and labels int64 [N,H,W], and weighted sums of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from edgeseg.core.postprocess import Postprocess
from edgeseg.errors import InputError

IGNORE = 255
"""Label of pixels that do not count: void, and the padding of crops."""

FOCUS = 2.0
TEMPERATURE = 2.0
DISTIL = "distil"
FEATURES = "features"
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


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


def feature_distance(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """Squared distance of inner maps from the teacher's (FitNets, Romero et al. 2015, arXiv:1412.6550),
    relative to the teacher's squared norm, mean over the pairs (student, teacher)."""
    parts = []
    for student, teacher in pairs:
        student, teacher = student.float(), teacher.float()
        parts.append((student - teacher).square().sum() / teacher.square().sum().clamp(min=1e-12))
    return torch.stack(parts).mean()


LOSSES: dict[str, Loss] = {"ce": cross_entropy, "dice": dice, "focal": focal}
NAMES = (*LOSSES, DISTIL, FEATURES)


@dataclass(frozen=True)
class LossSum:
    """A weighted sum of losses by name.

    Call it with logits [N,C,H,W], labels int64 [N,H,W] and, if it `distils`, the teacher's logits [N,C,H,W]
    and pairs of inner maps (student, teacher).
    """

    terms: tuple[tuple[float, str], ...]

    @property
    def distils(self) -> bool:
        return any(name in (DISTIL, FEATURES) for _, name in self.terms)

    @property
    def compares_features(self) -> bool:
        return any(name == FEATURES for _, name in self.terms)

    def require_teacher(self, *, there: bool) -> None:
        """Raise InputError for a loss that learns from a network where there is none."""
        if self.distils and not there:
            raise InputError(
                f"the loss '{self}' has no network to distil from",
                expected="ce, dice, focal and their sums",
                hint="distil in the steps 'prune' and 'qat', which have the network before",
            )

    def __str__(self) -> str:
        return "+".join(name if weight == 1 else f"{weight:g}*{name}" for weight, name in self.terms)

    def __call__(
        self,
        logits: torch.Tensor,
        label: torch.Tensor,
        teacher: torch.Tensor | None = None,
        features: Sequence[tuple[torch.Tensor, torch.Tensor]] = (),
    ) -> torch.Tensor:
        parts = []
        for weight, name in self.terms:
            if name in LOSSES:
                parts.append(weight * LOSSES[name](logits, label))
            elif name == FEATURES:
                parts.append(weight * feature_distance(features))
            elif teacher is not None:
                parts.append(weight * distil(logits, teacher))
        return torch.stack(parts).sum()


def parse_loss(text: str) -> LossSum:
    """A loss from `ce`, `ce+dice`, `0.5*ce+dice` or `ce+distil`.

    Raises:
        InputError: an unknown loss, or a weight that is not a positive number.
    """
    return LossSum(tuple(_term(part.strip(), text) for part in text.split("+")))


def class_logits(scores: torch.Tensor, contract: Postprocess) -> torch.Tensor:
    """Network scores [N,C,H,W] as logits with one channel per class.

    Undoes a sigmoid or softmax inside the network. One channel x becomes (0, x), whose softmax is
    (1 - sigmoid(x), sigmoid(x)).
    """
    scores = scores.float()
    if contract.activation == "softmax":
        scores = scores.clamp(min=1e-7).log()
    elif contract.activation == "sigmoid":
        scores = scores.logit(eps=1e-6)
    return torch.cat([torch.zeros_like(scores), scores], dim=1) if scores.shape[1] == 1 else scores


def _term(part: str, text: str) -> tuple[float, str]:
    weight, times, name = part.rpartition("*")
    try:
        factor = float(weight) if times else 1.0
    except ValueError:
        factor = 0.0
    if name.strip() not in NAMES or not 0.0 < factor < math.inf:
        raise InputError(
            f"loss '{text}' has the term '{part}'",
            expected=f"{', '.join(NAMES)} and their sums, as in 0.5*ce+dice",
            hint="change it with --train loss=...",
        )
    return factor, name.strip()


def _per_pixel(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits, label, ignore_index=IGNORE, reduction="none")


def _counted(label: torch.Tensor) -> torch.Tensor:
    return (label != IGNORE).sum().clamp(min=1)
