"""Averaged weights, which usually score better than the last ones: EMA and SWA."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn

State = dict[str, torch.Tensor]


class Average:
    """The weights that are validated and shipped.

    Args:
        kind: `none`: the last ones; `ema`; `swa`.
        decay: of the moving average; smaller in the first steps, (1 + t) / (10 + t).
        start: the step from which SWA averages.
    """

    def __init__(
        self, kind: Literal["none", "ema", "swa"], module: nn.Module, *, decay: float, start: int
    ) -> None:
        self.kind = kind
        self.decay = decay
        self.start = start
        self.state: State = {k: v.detach().clone() for k, v in module.state_dict().items()}

    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after optimiser step `step` (from 0)."""
        keep = self._keep(step)
        for name, value in module.state_dict().items():
            mine = self.state[name]
            if keep == 0.0 or not mine.is_floating_point():
                mine.copy_(value)
            else:
                mine.lerp_(value.to(mine.dtype), 1.0 - keep)

    def averaging(self, step: int) -> bool:
        """Whether BatchNorm statistics no longer belong to the averaged weights after `step`."""
        return self.kind == "swa" and step > self.start

    def _keep(self, step: int) -> float:
        if self.kind == "ema":
            return min(self.decay, (1 + step) / (10 + step))
        if self.kind == "swa" and step > self.start:
            seen = step - self.start
            return seen / (seen + 1)
        return 0.0


@torch.no_grad()
def refresh_statistics(module: nn.Module, images: Iterable[torch.Tensor]) -> None:
    """Measure the BatchNorm statistics of averaged weights anew (arXiv:1803.05407, section 3.3)."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    module.train()
    for image in images:
        module(image)
    module.eval()
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
