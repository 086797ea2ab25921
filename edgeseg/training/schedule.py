"""The learning rate as a pure function of the step: nothing to save, nothing to restore."""

from __future__ import annotations

import math

from edgeseg.training.settings import TrainSettings

POLY_POWER = 0.9


def learning_rate(step: int, total: int, settings: TrainSettings) -> float:
    """Rate of optimiser step `step` (from 0) of `total`.

    Linear warm-up, then `poly` (1 - t)^0.9 (Chen et al. 2017, arXiv:1606.00915), `cosine`
    (Loshchilov and Hutter 2017, arXiv:1608.03983) or `constant`.
    """
    rise = round(settings.warmup * total)
    if step < rise:
        return settings.lr * (step + 1) / (rise + 1)
    done = (step - rise) / max(1, total - rise)
    if settings.schedule == "poly":
        return float(settings.lr * (1.0 - done) ** POLY_POWER)
    if settings.schedule == "cosine":
        return settings.lr * 0.5 * (1.0 + math.cos(math.pi * done))
    return settings.lr
