"""Pools: as modules where torch's padding rules allow it, else padded by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.graph.lift.registry import Call, Node, Refused, Step, operator
from edgeseg.graph.lift.windows import Window, pad_list, pad_step, spatial, window

_MAX = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_AVERAGE = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
_GLOBAL_MAX = {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d}
_GLOBAL_AVERAGE = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


def window_sum(x: Tensor, at: Window) -> Tensor:
    """Sums over windows of an input that is padded already."""
    if set(at.dilation) == {1} and len(at.kernel) > 1:
        pool = F.avg_pool2d if len(at.kernel) == 2 else F.avg_pool3d
        return pool(x, at.kernel, at.stride, divisor_override=1)
    total = torch.zeros(())
    for tap in itertools.product(*map(range, at.kernel)):
        first = [t * d for t, d in zip(tap, at.dilation)]
        cut = [slice(f, f + (o - 1) * s + 1, s) for f, o, s in zip(first, at.out, at.stride)]
        total = total + x[(..., *cut)]
    return total


class WindowPool(nn.Module):
    """Average or power pooling over any padding, ceil mode and dilation.

    Args:
        at: the windows.
        size: spatial input size.
        include_pad: padding counts as elements (average only).
        power: None for an average, else p of the norm.
    """

    def __init__(
        self, at: Window, size: Sequence[int], *, include_pad: bool, power: float | None = None
    ) -> None:
        super().__init__()
        self.at, self.power = at, power
        needed = at.needed_end(size)
        self.pads = pad_list(at.begin, needed)
        counted = F.pad(torch.ones(1, 1, *size), pad_list(at.begin, at.end), value=float(include_pad))
        beyond = [n - e for n, e in zip(needed, at.end)]
        counts = window_sum(F.pad(counted, pad_list([0] * len(size), beyond)), at)
        self.register_buffer("share", 1 / counts, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.power is None:
            return window_sum(F.pad(x, self.pads), self.at) * self.share
        return window_sum(F.pad(x.abs() ** self.power, self.pads), self.at) ** (1 / self.power)

    def extra_repr(self) -> str:
        return f"{self.at}, power={self.power}"


def flat_indices(
    pooled: tuple[Tensor, Tensor],
    size: Sequence[int],
    padded: Sequence[int],
    begin: Sequence[int],
    by_column: bool,
) -> tuple[Tensor, Tensor]:
    """Indices within a padded plane -> ONNX's, over the whole unpadded tensor."""
    values, indices = pooled
    places = torch.unravel_index(indices, tuple(padded))
    places = tuple(p - b for p, b in zip(places, begin))
    order = list(zip(places, size))
    flat = torch.zeros_like(indices)
    for place, length in reversed(order) if by_column else order:
        flat = flat * length + place
    planes = torch.arange(values.shape[0] * values.shape[1]).reshape(*values.shape[:2], *[1] * len(size))
    return values, flat + planes.to(flat.device) * math.prod(size)


class InFloat(nn.Module):
    """An integer pool: torch pools floats only."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x.float()).to(x.dtype)


@operator("MaxPool")
def max_pool(node: Node) -> Step:
    size, at = _window(node)
    span = [d * (k - 1) + 1 for k, d in zip(at.kernel, at.dilation)]
    ceil = any(n > e for n, e in zip(at.needed_end(size), at.end))
    whole = not node.dtype().is_floating_point
    plain = at.symmetric and all(2 * p <= s for p, s in zip(at.begin, span)) and not (whole and any(at.begin))
    indices = node.outputs > 1
    padding = at.begin if plain else (0,) * len(size)
    pool: nn.Module = _MAX[len(size)](
        at.kernel, at.stride, padding, at.dilation, return_indices=indices, ceil_mode=ceil and plain
    )
    end = at.needed_end(size)
    steps: list[nn.Module | Call] = []
    if not plain:
        low = float(torch.iinfo(node.dtype()).min) if whole else -math.inf
        steps.append(pad_step(at.begin, end, low))
    steps.append(InFloat(pool) if whole and not indices else pool)
    if indices:
        begin = (0,) * len(size) if plain else at.begin
        padded = size if plain else tuple(b + n + e for b, n, e in zip(begin, size, end))
        by_column = bool(node.attr("storage_order", 0))
        steps.append(Call(flat_indices, size=size, padded=padded, begin=begin, by_column=by_column))
    return tuple(steps) if len(steps) > 1 else steps[0]


@operator("AveragePool")
def average_pool(node: Node) -> Step:
    size, at = _window(node)
    include = bool(node.attr("count_include_pad", 0))
    half = all(2 * p <= k for p, k in zip(at.begin, at.kernel))
    if at.symmetric and half and set(at.dilation) == {1}:
        ceil = any(n > e for n, e in zip(at.needed_end(size), at.end))
        return _AVERAGE[len(size)](at.kernel, at.stride, at.begin, ceil_mode=ceil, count_include_pad=include)
    return WindowPool(at, size, include_pad=include)


@operator("LpPool")
def lp_pool(node: Node) -> Step:
    size, at = _window(node)
    return WindowPool(at, size, include_pad=True, power=float(node.attr("p", 2)))


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node: Node) -> Step:
    pools = _GLOBAL_AVERAGE if node.op == "GlobalAveragePool" else _GLOBAL_MAX
    dims = node.rank() - 2
    if dims not in pools:
        axes = tuple(range(2, node.rank()))
        return Call(torch.mean if node.op == "GlobalAveragePool" else torch.amax, dim=axes, keepdim=True)
    return pools[dims](1)


@operator("GlobalLpPool")
def global_lp_pool(node: Node) -> Step:
    return Call(
        torch.linalg.vector_norm, ord=node.attr("p", 2), dim=tuple(range(2, node.rank())), keepdim=True
    )


def unpool(x: Tensor, indices: Tensor, size: Sequence[int], grow: Sequence[int]) -> Tensor:
    """Values at their indices over a zero tensor of spatial `size`, padded by `grow` at the ends."""
    shape = (*x.shape[:2], *size)
    flat = torch.zeros(math.prod(shape), dtype=x.dtype, device=x.device)
    y = flat.scatter(0, indices.reshape(-1), x.reshape(-1)).reshape(shape)
    return F.pad(y, pad_list([0] * len(grow), grow)) if any(grow) else y


@operator("MaxUnpool")
def max_unpool(node: Node) -> Step:
    kernel = node.ints("kernel_shape", ())
    dims = len(kernel)
    stride, pads = node.ints("strides", [1] * dims), node.ints("pads", [0] * 2 * dims)
    size = [(n - 1) * s + k for n, s, k in zip(spatial(node), stride, kernel)]
    size = [n - b - e for n, b, e in zip(size, pads[:dims], pads[dims:])]
    asked = node.constant(2)
    wanted = size if asked is None else [int(v) for v in asked[2:]]
    return Call(unpool, size=size, grow=[w - n for w, n in zip(wanted, size)])


def _window(node: Node) -> tuple[tuple[int, ...], Window]:
    kernel, size = node.ints("kernel_shape", ()), spatial(node)
    if len(size) not in _MAX:
        raise Refused(f"torch has no pool over {len(size)} axes")
    return size, window(node, kernel, size, ceil=bool(node.attr("ceil_mode", 0)))
