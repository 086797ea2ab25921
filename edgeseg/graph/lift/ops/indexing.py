"""Gather, scatter and other look-ups by index. Negative indices count from the end."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgeseg.graph.lift.registry import Call, Fixed, Node, Refused, Step, operator
from edgeseg.graph.lift.types import tensor_of, torch_type

_REDUCE = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def positive(index: Tensor, size: int) -> Tensor:
    index = index.long()
    return torch.where(index < 0, index + size, index)


def gather(x: Tensor, index: Tensor, dim: int) -> Tensor:
    picked = x.index_select(dim, positive(index, x.shape[dim]).reshape(-1))
    return picked.reshape((*x.shape[:dim], *index.shape, *x.shape[dim + 1 :]))


def gather_elements(x: Tensor, index: Tensor, dim: int) -> Tensor:
    return torch.gather(x, dim, positive(index, x.shape[dim]))


def gather_nd(x: Tensor, index: Tensor, batch_dims: int) -> Tensor:
    batch, depth = x.shape[:batch_dims], index.shape[-1]
    rows = math.prod(batch)
    flat = x.reshape(rows, *x.shape[batch_dims:])
    places = index.reshape(rows, -1, depth)
    picks = [torch.arange(rows, device=x.device)[:, None]]
    picks += [positive(places[..., i], flat.shape[i + 1]) for i in range(depth)]
    return flat[tuple(picks)].reshape((*index.shape[:-1], *x.shape[batch_dims + depth :]))


def scatter_elements(x: Tensor, index: Tensor, updates: Tensor, dim: int, reduction: str) -> Tensor:
    index = positive(index, x.shape[dim])
    if reduction == "none":
        return x.scatter(dim, index, updates)
    return x.scatter_reduce(dim, index, updates, _REDUCE[reduction])


def scatter_nd(x: Tensor, index: Tensor, updates: Tensor, reduction: str) -> Tensor:
    depth = index.shape[-1]
    rows = torch.zeros(index.shape[:-1], dtype=torch.int64, device=x.device)
    for i in range(depth):
        rows = rows * x.shape[i] + positive(index[..., i], x.shape[i])
    table = x.reshape(math.prod(x.shape[:depth]), -1)
    values = updates.reshape(-1, table.shape[1])
    rows = rows.reshape(-1)
    if reduction == "none":
        return table.index_copy(0, rows, values).reshape(x.shape)
    wide = rows[:, None].expand_as(values)
    return table.scatter_reduce(0, wide, values, _REDUCE[reduction]).reshape(x.shape)


def one_hot(index: Tensor, values: Tensor, depth: int, axis: int) -> Tensor:
    """`values`: off, on. An index outside -depth..depth-1 is off everywhere."""
    classes = torch.arange(depth, device=index.device)
    shape = [1] * (index.ndim + 1)
    shape[axis] = depth
    chosen = torch.where(index < 0, index + depth, index).unsqueeze(axis) == classes.reshape(shape)
    return torch.where(chosen, values[1], values[0])


@operator("Gather", learns=True)
def gather_(node: Node) -> Step:
    dim = node.axis()
    if node.value(1).constant and not node.rank(1) and not node.value(0).constant:
        return Call(torch.select, dim=dim, index=int(node.scalar(1, 0)))
    return Call(gather, dim=dim)


@operator("GatherElements")
def gather_elements_(node: Node) -> Step:
    return Call(gather_elements, dim=node.axis())


@operator("GatherND")
def gather_nd_(node: Node) -> Step:
    return Call(gather_nd, batch_dims=node.attr("batch_dims", 0))


@operator("Scatter", "ScatterElements")
def scatter_elements_(node: Node) -> Step:
    return Call(scatter_elements, dim=node.axis(), reduction=node.attr("reduction", "none"))


@operator("ScatterND")
def scatter_nd_(node: Node) -> Step:
    return Call(scatter_nd, reduction=node.attr("reduction", "none"))


@operator("OneHot")
def one_hot_(node: Node) -> Step:
    return Call(one_hot, depth=int(node.scalar(1, 0)), axis=node.axis(default=-1, extra=1))


@operator("Compress")
def compress(node: Node) -> Step:
    kept = node.constant(1)
    assert kept is not None
    indices = [i for i, keep in enumerate(kept) if keep]
    axis = node.attr("axis")
    if axis is None:
        return Call(torch.flatten), Call(take, indices=indices, dim=0)
    return Call(take, indices=indices, dim=node.axis())


def take(x: Tensor, indices: list[int], dim: int) -> Tensor:
    return x.index_select(dim, torch.tensor(indices, dtype=torch.int64, device=x.device))


@operator("Constant")
def constant(node: Node) -> Step:
    for name in ("value_int", "value_ints"):
        if node.attr(name) is not None:
            return Fixed(torch.tensor(node.attr(name), dtype=torch.int64))
    for name in ("value_float", "value_floats"):
        if node.attr(name) is not None:
            return Fixed(torch.tensor(node.attr(name), dtype=torch.float32))
    if node.attr("value") is None:
        raise Refused("it is a sparse or text constant")
    return Fixed(tensor_of(node.attr("value")))


@operator("ConstantOfShape")
def constant_of_shape(node: Node) -> Step:
    shape, value = node.listed(0, ""), node.attr("value")
    return Fixed((torch.zeros(1) if value is None else tensor_of(value)).expand(shape or []).clone())


@operator("Shape")
def shape(node: Node) -> Step:
    start, end = node.attr("start", 0), node.attr("end", node.rank())
    return Fixed(torch.tensor(node.shape()[start:end], dtype=torch.int64))


@operator("Size")
def size(node: Node) -> Step:
    return Fixed(torch.tensor(math.prod(node.shape()), dtype=torch.int64))


@operator("Range")
def range_(node: Node) -> Step:
    start, limit, step = (node.constant(i) for i in range(3))
    assert start is not None and limit is not None and step is not None
    count = max(math.ceil((limit.item() - start.item()) / step.item()), 0)
    return Fixed(node.value(0).tensor + torch.arange(count).to(node.dtype()) * node.value(2).tensor)


@operator("EyeLike")
def eye_like(node: Node) -> Step:
    element = node.attr("dtype")
    dtype = node.dtype() if element is None else torch_type(element)
    ones = torch.ones(node.shape()).tril(node.attr("k", 0)).triu(node.attr("k", 0))
    return Fixed(ones.to(dtype))
