"""Reductions, arg-reductions, cumulative sums and the k largest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from edgeseg.graph.lift.registry import Call, Node, Step, operator


def mean(x: Tensor, dim: Sequence[int], keepdim: bool) -> Tensor:
    if x.is_floating_point():
        return torch.mean(x, dim, keepdim)
    return torch.mean(x.double(), dim, keepdim).to(x.dtype)


def largest(x: Tensor, dim: Sequence[int], keepdim: bool) -> Tensor:
    return _extreme(x, dim, keepdim, torch.amax)


def smallest(x: Tensor, dim: Sequence[int], keepdim: bool) -> Tensor:
    return _extreme(x, dim, keepdim, torch.amin)


def _extreme(x: Tensor, dim: Sequence[int], keepdim: bool, function: Callable[..., Tensor]) -> Tensor:
    if x.numel():
        return function(x, dim, keepdim)
    lowest = function is torch.amax
    if x.dtype is torch.bool:
        value: float = not lowest
    elif x.is_floating_point():
        value = -math.inf if lowest else math.inf
    else:
        limits = torch.iinfo(x.dtype)
        value = limits.min if lowest else limits.max
    return torch.full_like(torch.sum(x, dim, keepdim), value).to(x.dtype)


def product(x: Tensor, dim: Sequence[int], keepdim: bool) -> Tensor:
    for axis in sorted(dim, reverse=True):
        x = torch.prod(x, axis, keepdim, dtype=x.dtype)
    return x


def sum_(x: Tensor, dim: Sequence[int], keepdim: bool) -> Tensor:
    return torch.sum(x, dim, keepdim, dtype=x.dtype)


def norm_1(x: Tensor, dim: Sequence[int], keepdim: bool) -> Tensor:
    return sum_(x.abs(), dim, keepdim)


def norm_2(x: Tensor, dim: Sequence[int], keepdim: bool) -> Tensor:
    return sum_square(x, dim, keepdim).sqrt().to(x.dtype)


def sum_square(x: Tensor, dim: Sequence[int], keepdim: bool) -> Tensor:
    return sum_(x * x, dim, keepdim)


def log_sum(x: Tensor, dim: Sequence[int], keepdim: bool) -> Tensor:
    return sum_(x, dim, keepdim).log()


def log_sum_exp(x: Tensor, dim: Sequence[int], keepdim: bool) -> Tensor:
    return torch.logsumexp(x, dim, keepdim) if dim else x


_REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "ReduceL1": norm_1,
    "ReduceL2": norm_2,
    "ReduceLogSum": log_sum,
    "ReduceLogSumExp": log_sum_exp,
    "ReduceMax": largest,
    "ReduceMean": mean,
    "ReduceMin": smallest,
    "ReduceProd": product,
    "ReduceSum": sum_,
    "ReduceSumSquare": sum_square,
}
_NATIVE: dict[str, Callable[..., Tensor]] = {
    "ReduceMax": torch.amax,
    "ReduceMean": torch.mean,
    "ReduceMin": torch.amin,
    "ReduceSum": torch.sum,
}
"""Used on float tensors that have elements."""


def over_no_axes(x: Tensor, op: str) -> Tensor:
    """torch reads an empty list of axes as all of them, so an axis of size 1 is added and reduced."""
    return _REDUCTIONS[op](x.unsqueeze(0), (0,), False)


@operator(*_REDUCTIONS)
def reduce(node: Node) -> Step:
    axes = node.listed(1, "axes")
    if not axes and node.attr("noop_with_empty_axes", 0):
        return Call(over_no_axes, op=node.op)
    dims = tuple(a % node.rank() for a in axes) if axes else tuple(range(node.rank()))
    native = node.dtype().is_floating_point and 0 not in node.shape() and bool(dims)
    function = _NATIVE.get(node.op, _REDUCTIONS[node.op]) if native else _REDUCTIONS[node.op]
    if not dims:
        return Call(over_no_axes, op=node.op)
    return Call(function, dim=dims, keepdim=bool(node.attr("keepdims", 1)))


def last_argmax(x: Tensor, dim: int, keepdim: bool) -> Tensor:
    """Among equal values the last one."""
    return x.shape[dim] - 1 - torch.argmax(x.flip(dim), dim, keepdim)


def last_argmin(x: Tensor, dim: int, keepdim: bool) -> Tensor:
    return x.shape[dim] - 1 - torch.argmin(x.flip(dim), dim, keepdim)


_ARGS: dict[tuple[str, bool], Callable[..., Tensor]] = {
    ("ArgMax", False): torch.argmax,
    ("ArgMax", True): last_argmax,
    ("ArgMin", False): torch.argmin,
    ("ArgMin", True): last_argmin,
}


@operator("ArgMax", "ArgMin")
def arg(node: Node) -> Step:
    function = _ARGS[node.op, bool(node.attr("select_last_index", 0))]
    return Call(function, dim=node.axis(), keepdim=bool(node.attr("keepdims", 1)))


def top(x: Tensor, k: int, dim: int, largest: bool) -> tuple[Tensor, Tensor]:
    """Sorted, the lower index first among equal values, which `torch.topk` does not promise."""
    values, indices = torch.sort(x, dim=dim, descending=largest, stable=True)
    return values.narrow(dim, 0, k), indices.narrow(dim, 0, k)


@operator("TopK")
def top_k(node: Node) -> Step:
    k = node.attr("k") if node.opset < 10 else int(node.scalar(1, 1))
    return Call(top, k=k, dim=node.axis(default=-1), largest=bool(node.attr("largest", 1)))


def cumulate(x: Tensor, dim: int, product: bool, exclusive: bool, reverse: bool) -> Tensor:
    x = x.flip(dim) if reverse else x
    if exclusive:
        start = torch.full_like(x.narrow(dim, 0, 1), int(product))
        x = torch.cat([start, x.narrow(dim, 0, x.shape[dim] - 1)], dim)
    y = (torch.cumprod if product else torch.cumsum)(x, dim, dtype=x.dtype)
    return y.flip(dim) if reverse else y


@operator("CumSum", "CumProd")
def cumulative(node: Node) -> Step:
    return Call(
        cumulate,
        dim=int(node.scalar(1, 0)) % node.rank(),
        product=node.op == "CumProd",
        exclusive=bool(node.attr("exclusive", 0)),
        reverse=bool(node.attr("reverse", 0)),
    )
