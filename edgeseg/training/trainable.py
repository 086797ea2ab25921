"""What a network must bring to be trained; what it lacks is told once, in its own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from edgeseg.errors import ModelError
from edgeseg.training.settings import TrainSettings

_ONE_VALUE = "Expected more than 1 value per channel"
"""BatchNorm of torch, in training mode."""


def require_weights(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The weights that can be trained. Raises ModelError when there is none."""
    found = [p for p in module.parameters() if p.requires_grad]
    if not found:
        raise ModelError(
            "the network has no weight that can be trained", expected="parameters with requires_grad"
        )
    return found


@contextmanager
def trainable(settings: TrainSettings) -> Iterator[None]:
    """Raise ModelError for what a network's own layers refuse while they are trained."""
    try:
        yield
    except ValueError as fault:
        if _ONE_VALUE not in str(fault):
            raise
        part = settings.batch // settings.accumulate
        raise ModelError(
            f"a BatchNorm of the network gets one value per channel from {part} image(s)",
            expected="two values or more: its map has one pixel here, so two images or more",
            hint=f"use --train batch={2 * settings.accumulate} or more, or a larger --input-size",
        ) from None
