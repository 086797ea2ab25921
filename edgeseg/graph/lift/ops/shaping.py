"""Shapes: reshaping, cutting, joining, padding.

Sizes that an operator hands through are read from its input, so that another batch size or a pruned
channel count still fits; the rest are constants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.graph.lift.registry import Call, Node, Refused, Step, operator
from edgeseg.graph.lift.windows import pad_list


def reshape(x: Tensor, head: int, middle: Sequence[int], tail: int) -> Tensor:
    """The first `head` and last `tail` sizes stay, `middle` replaces those between."""
    return x.reshape((*x.shape[:head], *middle, *x.shape[x.ndim - tail :]))


def reshape_step(source: Sequence[int], target: Sequence[int]) -> Call:
    if 0 in source or not source:
        return Call(reshape, head=0, middle=tuple(target), tail=0)
    head = _agree(source, target)
    tail = _agree(source[head:][::-1], target[head:][::-1])
    middle = list(target[head : len(target) - tail])
    if middle:
        middle[-1 if math.prod(middle[:-1]) else 0] = -1
    return Call(reshape, head=head, middle=tuple(middle), tail=tail)


def _agree(a: Sequence[int], b: Sequence[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def concat(*tensors: Tensor, dim: int) -> Tensor:
    return torch.cat(tensors, dim)


def pick(x: Tensor, indices: Sequence[tuple[int, list[int]]]) -> Tensor:
    for dim, index in indices:
        x = x.index_select(dim, torch.tensor(index, device=x.device))
    return x


@operator("Reshape")
def reshape_(node: Node) -> Step:
    wanted = node.listed(1, "shape")
    if wanted is None:
        raise Refused("its shape is missing")
    source = node.shape()
    if not node.attr("allowzero", 0):
        wanted = [source[i] if size == 0 else size for i, size in enumerate(wanted)]
    if -1 in wanted:
        known = math.prod(size for size in wanted if size != -1)
        wanted[wanted.index(-1)] = math.prod(source) // max(known, 1)
    return reshape_step(source, wanted)


@operator("Flatten")
def flatten(node: Node) -> Step:
    axis = node.axis(default=1)
    if axis == 1 and node.rank() > 1:
        return nn.Flatten()
    shape = node.shape()
    return reshape_step(shape, (math.prod(shape[:axis]), math.prod(shape[axis:])))


@operator("Squeeze")
def squeeze(node: Node) -> Step:
    axes = node.listed(1, "axes")
    if axes is None:
        axes = [i for i, size in enumerate(node.shape()) if size == 1]
    return Call(torch.squeeze, dim=tuple(axes)) if axes else nn.Identity()


def unsqueeze(x: Tensor, axes: Sequence[int]) -> Tensor:
    for axis in axes:
        x = x.unsqueeze(axis)
    return x


@operator("Unsqueeze")
def unsqueeze_(node: Node) -> Step:
    axes = node.listed(1, "axes") or []
    rank = node.rank() + len(axes)
    return Call(unsqueeze, axes=sorted(a % rank for a in axes))


@operator("Transpose")
def transpose(node: Node) -> Step:
    return Call(torch.permute, dims=tuple(node.ints("perm", range(node.rank())[::-1])))


@operator("Expand")
def expand(node: Node) -> Step:
    wanted = node.listed(1, "") or []
    source = node.shape()
    shape = np.broadcast_shapes(source, tuple(wanted))
    new = len(shape) - len(source)
    sizes = [s if i < new or source[i - new] != s else -1 for i, s in enumerate(shape)]
    return Call(torch.Tensor.expand, size=tuple(sizes))


@operator("Tile")
def tile(node: Node) -> Step:
    repeats = node.listed(1, "") or []
    return Call(torch.tile, dims=tuple(repeats))


@operator("Concat")
def concat_(node: Node) -> Step:
    return Call(concat, dim=node.axis(default=1))


@operator("Split")
def split(node: Node) -> Step:
    dim = node.axis()
    size = node.shape()[dim]
    sizes = node.listed(1, "split")
    count = node.attr("num_outputs", len(node.proto.output))
    if (sizes is None and size % count == 0) or (sizes is not None and len(set(sizes)) == 1):
        return Call(torch.chunk, chunks=count if sizes is None else len(sizes), dim=dim)
    if sizes is None:
        part = -(-size // count)
        sizes = [min(part, size - i * part) for i in range(count)]
    return Call(torch.split, split_size_or_sections=sizes, dim=dim)


@operator("Slice")
def slice_(node: Node) -> Step:
    starts, ends = node.listed(1, "starts"), node.listed(2, "ends")
    if starts is None or ends is None:
        raise Refused("its starts or ends are missing")
    axes = node.listed(3, "axes") or list(range(len(starts)))
    steps = node.listed(4, "steps") or [1] * len(starts)
    cuts = [slice(None)] * node.rank()
    backwards = []
    for axis, start, end, step in zip(axes, starts, ends, steps):
        size = node.shape()[axis]
        if step < 0:
            backwards.append((axis % node.rank(), _indices(size, start, end, step)))
        elif not (start == 0 and end >= size and step == 1):
            cuts[axis] = slice(*slice(start, end, step).indices(size))
    cut = Call(sliced, cuts=tuple(cuts))
    return (cut, Call(pick, indices=backwards)) if backwards else cut


def sliced(x: Tensor, cuts: tuple[slice, ...]) -> Tensor:
    return x[cuts]


def _indices(size: int, start: int, end: int, step: int) -> list[int]:
    end = None if end < -size else end  # type: ignore[assignment]
    return list(range(size))[start:end:step]


@operator("Pad")
def pad(node: Node) -> Step:
    mode = node.attr("mode", "constant")
    name = "pads" if node.opset >= 2 else "paddings"
    pads = node.listed(1, name)
    if pads is None:
        raise Refused("its pads are missing")
    rank = node.rank()
    axes = [a % rank for a in node.listed(3, "axes") or range(rank)]
    begin, end = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        begin[axis], end[axis] = pads[i], pads[len(axes) + i]
    if mode == "constant":
        value = node.attr("value", 0.0) if node.opset < 11 else node.scalar(2, 0.0)
        return _constant_pad(begin, end, value if node.dtype().is_floating_point else int(value))
    node.taken.add(2)
    room = min(node.shape()[2:], default=0) if mode == "reflect" else math.inf
    spatial = rank == 4 and not any(begin[:2] + end[:2]) and 0 <= min(begin + end) <= max(begin + end) < room
    if spatial and mode in ("reflect", "edge"):
        sides = begin[3], end[3], begin[2], end[2]
        return nn.ReflectionPad2d(sides) if mode == "reflect" else nn.ReplicationPad2d(sides)
    indices = [
        (axis, _padded_indices(node.shape()[axis], begin[axis], end[axis], mode))
        for axis in range(rank)
        if begin[axis] or end[axis]
    ]
    return Call(pick, indices=indices)


def _constant_pad(begin: list[int], end: list[int], value: float) -> Step:
    rank = len(begin)
    if rank == 4 and not any(begin[:2] + end[:2]):
        return nn.ConstantPad2d((begin[3], end[3], begin[2], end[2]), value)
    return Call(F.pad, pad=pad_list(begin, end), value=value)


def _padded_indices(size: int, begin: int, end: int, mode: str) -> list[int]:
    index = np.pad(np.arange(size), (max(begin, 0), max(end, 0)), mode=mode)  # type: ignore[call-overload]
    return [int(i) for i in index[max(-begin, 0) : len(index) - max(-end, 0)]]


@operator("CenterCropPad")
def center_crop_pad(node: Node) -> Step:
    rank = node.rank()
    wanted = node.listed(1, "") or []
    begin, end = [0] * rank, [0] * rank
    for axis, size in zip((a % rank for a in node.ints("axes", range(rank))), wanted):
        missing = size - node.shape()[axis]
        begin[axis] = missing // 2 if missing > 0 else -(-missing // 2)
        end[axis] = missing - begin[axis]
    return Call(F.pad, pad=pad_list(begin, end))
