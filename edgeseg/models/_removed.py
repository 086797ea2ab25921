"""What was taken from a network, and the proof that the pruned one is the network without it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from edgeseg.core.preprocess import Shape
from edgeseg.models._traced import WEIGHTED, answer_of, tensors_of

TOLERANCE = 1e-4
"""Largest difference over the largest score. Sums over fewer terms round otherwise; a channel in the wrong
place changes more."""

ACROSS = (nn.GroupNorm, nn.LayerNorm)
"""Layers that a removed channel changes for the others."""


@dataclass
class Removed:
    """Channels by layer, in the numbers of the network before.

    Attributes:
        read: input channels of layers with weights; normed: channels of `ACROSS`. The ones that stay.
    """

    read: dict[str, torch.Tensor] = field(default_factory=dict)
    normed: dict[str, torch.Tensor] = field(default_factory=dict)

    def add(self, name: str, layer: nn.Module, *, out: bool, channels: Sequence[int]) -> None:
        """Note that `channels`, in the numbers of now, are about to leave `layer`."""
        if isinstance(layer, ACROSS):
            width = layer.num_channels if isinstance(layer, nn.GroupNorm) else layer.normalized_shape[-1]
            _shorten(self.normed, name, width, channels)
        elif isinstance(layer, WEIGHTED) and not out:
            width = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
            _shorten(self.read, name, width, channels)

    def explains(self, before: nn.Module, after: nn.Module, shape: Shape) -> bool:
        """Whether `after` gives on a random image what `before` gives when zeros are read in the place of the
        removed channels. False too where `after` fails. On the CPU: a GPU may round to TF32."""
        image = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            with self._ignored_by(before):
                expected = tensors_of(answer_of(before.eval(), image))
            try:
                found = tensors_of(answer_of(copy.deepcopy(after).cpu().eval(), image))
            except Exception:  # shapes that do not fit: every operator has its own error
                return False
        return all(_close(*pair) for pair in zip(expected, found))

    @contextmanager
    def _ignored_by(self, network: nn.Module) -> Iterator[None]:
        hooks = []
        for name, layer in network.named_modules():
            if name in self.read:
                hooks.append(layer.register_forward_pre_hook(_reading(self.read[name])))
            if name in self.normed:
                hooks.append(layer.register_forward_hook(_norming(self.normed[name])))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _shorten(stay: dict[str, torch.Tensor], name: str, width: int, channels: Sequence[int]) -> None:
    kept = torch.ones(width, dtype=torch.bool)
    kept[list(channels)] = False
    stay[name] = stay.get(name, torch.arange(width))[kept]


def _reading(kept: torch.Tensor) -> Any:
    def zero_others(layer: Any, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        given = inputs[0]
        dim = -1 if isinstance(layer, nn.Linear) else -1 - len(layer.kernel_size)
        return _only(given, given.index_select(dim, kept), kept, dim)

    return zero_others


def _norming(kept: torch.Tensor) -> Any:
    """The norm over the channels that stay, computed apart from the pruned layer."""

    def norm(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        given = inputs[0]
        weight, bias = (p[kept] if p is not None else None for p in (layer.weight, layer.bias))
        if isinstance(layer, nn.GroupNorm):
            part = given.index_select(1, kept)
            part = functional.group_norm(part, layer.num_groups, weight, bias, layer.eps)
            return _only(given, part, kept, 1)
        width = layer.normalized_shape[-1]
        dim = 1 if type(layer) is not nn.LayerNorm and given.shape[1] == width else -1
        part = given.index_select(dim, kept).movedim(dim, -1)
        part = functional.layer_norm(part, (len(kept),), weight, bias, layer.eps)
        return _only(given, part.movedim(-1, dim), kept, dim)

    return norm


def _only(like: torch.Tensor, part: torch.Tensor, kept: torch.Tensor, dim: int) -> torch.Tensor:
    """`part` in the places `kept` of zeros."""
    return torch.zeros_like(like).index_copy(dim, kept, part)


def _close(expected: torch.Tensor, found: torch.Tensor) -> bool:
    if expected.shape != found.shape:
        return False
    one, other = expected.double(), found.double()
    scale = float(one.nan_to_num(0.0, 0.0, 0.0).abs().max()) if one.numel() else 0.0
    return bool(torch.isclose(one, other, rtol=0.0, atol=TOLERANCE * scale, equal_nan=True).all())
