"""Conv and ConvTranspose in one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.graph.lift.registry import Call, Node, Refused, Step, operator
from edgeseg.graph.lift.windows import pad_list, pad_step, spatial, window

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_FUNCTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED_FUNCTIONS = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, pads: list[int], **keywords: object
) -> Tensor:
    """A convolution whose weight is computed in the graph."""
    padded = F.pad(x, pads) if any(pads) else x
    return _FUNCTIONS[x.ndim - 2](padded, weight, bias, **keywords)


def convolve_transposed(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, crop: list[int], **keywords: object
) -> Tensor:
    """A transposed convolution whose weight is computed in the graph."""
    y = _TRANSPOSED_FUNCTIONS[x.ndim - 2](x, weight, bias, **keywords)
    return F.pad(y, crop) if any(crop) else y


@operator("Conv", learns=True)
def conv(node: Node) -> Step:
    kernel = node.shape(1)[2:]
    dims = _dims(node, kernel)
    at = window(node, kernel, spatial(node))
    shared = {"stride": at.stride, "dilation": at.dilation, "groups": node.attr("group", 1)}
    if not _weights_constant(node):
        return Call(convolve, pads=pad_list(at.begin, at.end), **shared)
    out, per_group = node.shape(1)[:2]
    padding = at.begin if at.symmetric else (0,) * dims
    module = nn.utils.skip_init(
        _CONV[dims], per_group * shared["groups"], out, kernel, padding=padding, bias=node.has(2), **shared
    )
    _load(module, node)
    return module if at.symmetric else (pad_step(at.begin, at.end), module)


@operator("ConvTranspose", learns=True)
def conv_transpose(node: Node) -> Step:
    kernel = node.shape(1)[2:]
    dims = _dims(node, kernel)
    groups = node.attr("group", 1)
    stride = node.ints("strides", [1] * dims)
    dilation = node.ints("dilations", [1] * dims)
    extra = node.ints("output_padding", [0] * dims)
    begin, end = _transposed_pads(node, kernel, stride, dilation, extra)
    padding, output_padding, crop = _crop(begin, end, extra, stride, dilation)
    if node.has(2) and any(c > 0 for c in crop):
        raise Refused("its output is padded beyond what any input reaches, and it has a bias")
    shared = {
        "stride": tuple(stride),
        "padding": tuple(padding),
        "output_padding": tuple(output_padding),
        "dilation": tuple(dilation),
        "groups": groups,
    }
    if not _weights_constant(node):
        return Call(convolve_transposed, crop=crop, **shared)
    inputs, per_group = node.shape(1)[:2]
    module = nn.utils.skip_init(
        _TRANSPOSED[dims], inputs, per_group * groups, kernel, bias=node.has(2), **shared
    )
    _load(module, node)
    return (module, Call(F.pad, pad=crop)) if any(crop) else module


def _transposed_pads(
    node: Node, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], extra: Sequence[int]
) -> tuple[list[int], list[int]]:
    size, dims = spatial(node), len(kernel)
    auto = node.attr("auto_pad", "NOTSET")
    asked = node.ints("output_shape", [])[-dims:]
    if not asked and auto.startswith("SAME"):
        asked = [n * s for n, s in zip(size, stride)]
    if not asked:
        pads = [0] * 2 * dims if auto == "VALID" else node.ints("pads", [0] * 2 * dims)
        return pads[:dims], pads[dims:]
    begin, end = [], []
    for i in range(dims):
        spare = stride[i] * (size[i] - 1) + extra[i] + (kernel[i] - 1) * dilation[i] + 1 - asked[i]
        total = max(spare, 0)
        begin.append(total // 2 if auto == "SAME_UPPER" else total - total // 2)
        end.append(spare - begin[i])
    return begin, end


def _crop(
    begin: Sequence[int],
    end: Sequence[int],
    extra: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> tuple[list[int], list[int], list[int]]:
    """torch's padding and output_padding, and what is left for a (negative) pad behind it."""
    output_padding = [e + b - a for b, a, e in zip(begin, end, extra)]
    fits = all(0 <= o < max(s, d) for o, s, d in zip(output_padding, stride, dilation))
    if fits and min(begin) >= 0:
        return list(begin), output_padding, [0] * 2 * len(begin)
    return [0] * len(begin), list(extra), pad_list([-b for b in begin], [-a for a in end])


def _dims(node: Node, kernel: Sequence[int]) -> int:
    if len(kernel) not in _CONV:
        raise Refused(f"torch has no convolution over {len(kernel)} axes")
    return len(kernel)


def _weights_constant(node: Node) -> bool:
    return node.is_constant(1) and node.is_constant(2)


def _load(module: nn.Module, node: Node) -> None:
    module.weight = node.weight(1)
    if node.has(2):
        module.bias = node.weight(2)
