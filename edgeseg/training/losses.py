"""Weighted sums of the losses of a task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from edgeseg.errors import InputError
from edgeseg.training.tasks import TrainTask

DISTIL = "distil"
FEATURES = "features"


def feature_distance(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """Squared distance of inner maps from the teacher's (FitNets, Romero et al. 2015, arXiv:1412.6550),
    relative to the teacher's squared norm, mean over the pairs (student, teacher)."""
    parts = []
    for student, teacher in pairs:
        student, teacher = student.float(), teacher.float()
        parts.append((student - teacher).square().sum() / teacher.square().sum().clamp(min=1e-12))
    return torch.stack(parts).mean()


@dataclass(frozen=True)
class LossSum:
    """A weighted sum of losses by name.

    Call it with the network's answer and targets as the task takes them and, if it `distils`, what the
    teacher says and pairs of inner maps (student, teacher).
    """

    task: TrainTask
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
                expected=f"{', '.join(self.task.losses)} and their sums",
                hint="distil in the steps 'prune' and 'qat', which have the network before",
            )

    def __str__(self) -> str:
        return "+".join(name if weight == 1 else f"{weight:g}*{name}" for weight, name in self.terms)

    def __call__(
        self,
        answer: Any,
        target: Any,
        taught: Any = None,
        features: Sequence[tuple[torch.Tensor, torch.Tensor]] = (),
    ) -> torch.Tensor:
        losses = self.task.losses
        parts = []
        for weight, name in self.terms:
            if name in losses:
                parts.append(weight * losses[name](answer, target))
            elif name == FEATURES:
                parts.append(weight * feature_distance(features))
            elif taught is not None:
                parts.append(weight * self.task.distil(answer, taught))
        return torch.stack(parts).sum()


def parse_loss(text: str, task: TrainTask) -> LossSum:
    """A loss from `ce`, `ce+dice`, `0.5*ce+dice` or `ce+distil`; empty: the usual one of the task.

    Raises:
        InputError: a loss that the task does not have, or a weight that is not a positive number.
    """
    text = text or task.usual
    return LossSum(task, tuple(_term(part.strip(), text, task) for part in text.split("+")))


def _term(part: str, text: str, task: TrainTask) -> tuple[float, str]:
    weight, times, name = part.rpartition("*")
    try:
        factor = float(weight) if times else 1.0
    except ValueError:
        factor = 0.0
    known = (*task.losses, DISTIL, FEATURES)
    if name.strip() not in known or not 0.0 < factor < math.inf:
        raise InputError(
            f"loss '{text}' has the term '{part}'",
            expected=f"{', '.join(known)} and their sums, as in 0.5*{known[0]}+{known[1]}",
            hint="change it with --train loss=...",
        )
    return factor, name.strip()
