"""QuantizeLinear and DequantizeLinear as ONNX defines them: the place of the fake-quantisers of QAT."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.graph.lift.registry import Node, Refused, Step, operator
from edgeseg.graph.lift.types import torch_type


class _Affine(nn.Module):
    """Scale and zero point, per tensor, per axis or in blocks along an axis.

    Attributes:
        scale, zero_point: buffers as in the file; `zero_point` is None for zero.
    """

    def __init__(self, scale: Tensor, zero_point: Tensor | None, axis: int, block: int) -> None:
        super().__init__()
        self.axis, self.block = axis, block
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", zero_point)

    def spread(self, value: Tensor, x: Tensor) -> Tensor:
        """`value` in the shape in which it applies to `x`."""
        if self.block:
            return value.repeat_interleave(self.block, self.axis).narrow(self.axis, 0, x.shape[self.axis])
        if value.numel() == 1:
            return value.reshape(())
        return value.reshape([-1 if i == self.axis else 1 for i in range(x.ndim)])

    def extra_repr(self) -> str:
        return f"scale={tuple(self.scale.shape)}, axis={self.axis}"


class QuantizeLinear(_Affine):
    """saturate(round half to even(x / scale) + zero point)."""

    def __init__(
        self, scale: Tensor, zero_point: Tensor | None, axis: int, block: int, dtype: torch.dtype
    ) -> None:
        super().__init__(scale, zero_point, axis, block)
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        steps = torch.round(x / self.spread(self.scale, x))
        if self.zero_point is not None:
            steps = steps + self.spread(self.zero_point, x)
        limits = torch.iinfo(self.dtype)
        return steps.clamp(limits.min, limits.max).to(self.dtype)


class DequantizeLinear(_Affine):
    """(x - zero point) * scale."""

    def forward(self, x: Tensor) -> Tensor:
        steps = x.to(self.scale.dtype)
        if self.zero_point is not None:
            steps = steps - self.spread(self.zero_point, x).to(self.scale.dtype)
        return steps * self.spread(self.scale, x)


@operator("QuantizeLinear")
def quantize(node: Node) -> Step:
    element = node.attr("output_dtype", 0)
    dtype = torch_type(element) if element else node.dtype(2) if node.has(2) else torch.uint8
    if dtype.is_floating_point:
        raise Refused("it quantises to a float type")
    return QuantizeLinear(*_parameters(node), dtype)


@operator("DequantizeLinear")
def dequantize(node: Node) -> Step:
    return DequantizeLinear(*_parameters(node))


def _parameters(node: Node) -> tuple[Tensor, Tensor | None, int, int]:
    zero_point = node.buffer(2) if node.has(2) else None
    return node.buffer(1), zero_point, node.axis(default=1), node.attr("block_size", 0)
