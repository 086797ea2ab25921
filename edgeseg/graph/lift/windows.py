"""Where sliding windows lie: strides, dilations and padding of convolutions and pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import nn

from edgeseg.graph.lift.registry import Call, Node


@dataclass(frozen=True)
class Window:
    """Per spatial axis. `begin`, `end`: padding; `out`: positions of the window."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    out: tuple[int, ...]

    @property
    def symmetric(self) -> bool:
        return self.begin == self.end

    def needed_end(self, size: Sequence[int]) -> tuple[int, ...]:
        """Padding at the end with which a floor-mode window has exactly `out` positions."""
        spans = (d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation))
        return tuple(
            max((o - 1) * s + span - n - b, 0)
            for o, s, span, n, b in zip(self.out, self.stride, spans, size, self.begin)
        )


def window(node: Node, kernel: Sequence[int], size: Sequence[int], *, ceil: bool = False) -> Window:
    """The window of a Conv or pool node over an input of spatial `size`.

    auto_pad follows the ONNX text: SAME gives ceil(size / stride) positions.
    """
    rank = len(size)
    stride = node.ints("strides", [1] * rank)
    dilation = node.ints("dilations", [1] * rank)
    pads = node.ints("pads", [0] * 2 * rank)
    auto = node.attr("auto_pad", "NOTSET")
    out = []
    for i in range(rank):
        span = dilation[i] * (kernel[i] - 1) + 1
        if auto.startswith("SAME"):
            out.append(-(-size[i] // stride[i]))
            missing = max((out[i] - 1) * stride[i] + span - size[i], 0)
            small, large = missing // 2, missing - missing // 2
            pads[i], pads[rank + i] = (small, large) if auto == "SAME_UPPER" else (large, small)
            continue
        if auto == "VALID":
            pads[i] = pads[rank + i] = 0
        room = size[i] + pads[i] + pads[rank + i] - span
        count = (-(-room // stride[i]) if ceil else room // stride[i]) + 1
        if ceil and (count - 1) * stride[i] >= size[i] + pads[i]:
            count -= 1
        out.append(count)
    return Window(
        tuple(kernel), tuple(stride), tuple(dilation), tuple(pads[:rank]), tuple(pads[rank:]), tuple(out)
    )


def spatial(node: Node) -> tuple[int, ...]:
    return node.shape()[2:]


def pad_list(begin: Sequence[int], end: Sequence[int]) -> list[int]:
    """As `torch.nn.functional.pad` wants it: last axis first."""
    return [p for pair in reversed(list(zip(begin, end))) for p in pair]


def pad_step(begin: Sequence[int], end: Sequence[int], value: float = 0.0) -> nn.Module | Call:
    """Constant padding of the spatial axes; a module for two of them."""
    pads = pad_list(begin, end)
    if len(begin) == 2:
        return nn.ConstantPad2d((pads[0], pads[1], pads[2], pads[3]), value)
    return Call(F.pad, pad=pads, value=value)
