"""Rounding to an integer grid that can be trained: what a Q -> DQ pair becomes in torch."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

SPEED = 10.0
"""How much faster scales move than weights, relative to their size."""


class FakeQuantize(nn.Module):
    """`(clip(round(x / scale) + zero_point, low, high) - zero_point) * scale` in float32, as ONNX defines it.

    The gradient passes rounding as if it were not there and stops where values are clipped; the scale has
    the gradient of LSQ (Esser et al. 2020, arXiv:1902.08153). What is trained is the logarithm of the scale
    (Jain et al. 2020, arXiv:1903.08066): it stays positive, and one learning rate fits scales of any size.
    The zero point stays: the scheme of the target decides it.

    One module may serve several tensors; they share its scale.

    Attributes:
        log_scale: parameter [1] or [channels], 0 at the start: the scale is `start * exp(SPEED * log_scale)`.
        start: buffer, the scale to start from, float32; `zero_point`: buffer, float32.
        axis: of the channels; None: one scale.
        low, high: smallest and largest level.
    """

    def __init__(
        self, scale: Tensor, zero_point: Tensor | None, axis: int | None, low: int, high: int
    ) -> None:
        super().__init__()
        start = scale.detach().float().reshape(-1).clone()
        zero = torch.zeros_like(start) if zero_point is None else zero_point.detach().float().reshape(-1)
        self.register_buffer("start", start)
        self.register_buffer("zero_point", zero.clone())
        self.log_scale = nn.Parameter(torch.zeros_like(start))
        self.axis, self.low, self.high = axis, low, high

    @property
    def scale(self) -> Tensor:
        """float32 [1] or [channels]."""
        return self.start * torch.exp(SPEED * self.log_scale)

    def forward(self, x: Tensor) -> Tensor:
        zero = self._along(self.zero_point, x)
        share = 1.0 / math.sqrt(max(1, x.numel() // self.start.numel()) * max(self.high, 1))
        rounded: Tensor = _Round.apply(
            x.float(), self._along(self.scale, x), self.low - zero, self.high - zero, share
        )
        return rounded

    @torch.no_grad()
    def levels(self, x: Tensor) -> Tensor:
        """The levels `forward` rounds `x` to, as whole numbers in float32."""
        zero = self._along(self.zero_point, x)
        return (torch.round(x / self._along(self.scale, x)) + zero).clamp(self.low, self.high)

    def largest(self, x: Tensor) -> Tensor:
        """What the largest level stands for at the start; broadcasts over `x`."""
        return self._along(self.start * max(self.high, 1), x)

    def extra_repr(self) -> str:
        return f"{self.low}..{self.high}, scales={self.start.numel()}, axis={self.axis}"

    def _along(self, value: Tensor, x: Tensor) -> Tensor:
        if self.axis is None:
            return value.reshape(())
        return value.reshape([-1 if i == self.axis else 1 for i in range(x.ndim)])


class _Round(torch.autograd.Function):
    """Takes x, the scale, the limits of x / scale, and the factor of the scale's gradient.

    torch's learnable kernels do the same in 1.5 times the time on a CPU, and multiply by 1 / scale where ONNX
    divides.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: Tensor, high: Tensor, share: float) -> Tensor:
        steps = x / scale
        levels = torch.round(steps).clamp_(low, high)
        ctx.save_for_backward(steps, levels, low, high)
        ctx.shape, ctx.share = scale.shape, share
        return levels * scale

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        steps, levels, low, high = ctx.saved_tensors
        inside = grad * (steps == steps.clamp(low - 0.5, high + 0.5))
        scale = (grad * levels).sum_to_size(ctx.shape) - (inside * steps).sum_to_size(ctx.shape)
        return inside, scale * ctx.share, None, None, None


class Learned(nn.Module):
    """How a constant of the graph is learned: in units of its own size, seen through its grid.

    Adam moves every number by about the learning rate. In a file whose BatchNorm is folded, channels of one
    layer differ a thousandfold: what polishes one destroys another. In these units one rate fits all.

    Attributes:
        unit: buffer that broadcasts over the constant, rounded to a power of two: what is learned is the
            constant divided by it, to the last bit.
        grid: what the constant is rounded by; None: it stays float.
    """

    def __init__(self, unit: Tensor, grid: FakeQuantize | FakeQuantizedBias | None = None) -> None:
        super().__init__()
        size = unit.detach().float().clamp(min=torch.finfo(torch.float32).tiny)
        self.register_buffer("unit", torch.exp2(torch.round(torch.log2(size))))
        self.grid = grid

    def forward(self, learned: Tensor) -> Tensor:
        value = learned * self.unit
        return value if self.grid is None else self.grid(value)


class FakeQuantizedBias(nn.Module):
    """Rounding of a bias that is stored as int32. Its scale is that of the layer's input times that of its
    weight, and follows the two.

    Attributes:
        start: buffer, the scale [channels] or [1] to start from.
    """

    def __init__(self, scale: Tensor, source: FakeQuantize, weight: FakeQuantize) -> None:
        super().__init__()
        self.register_buffer("start", scale.detach().float().reshape(-1).clone())
        self._followed = (source, weight)  # in a tuple: they are no parts of this module

    @property
    def scale(self) -> Tensor:
        """float32 [channels] or [1], without gradient."""
        source, weight = (grid.scale.detach() / grid.start for grid in self._followed)
        return self.start * source * weight.repeat(max(1, self.start.numel() // weight.numel()))

    def forward(self, bias: Tensor) -> Tensor:
        return bias + (self.levels(bias) * self.scale - bias).detach()

    @torch.no_grad()
    def levels(self, bias: Tensor) -> Tensor:
        """Whole numbers in float32, within int32."""
        limit = 2.0**31 - 128
        return torch.round(bias / self.scale).clamp(-limit, limit)
