"""A network as the dependency graph has to see it: all that runs, under names of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)


def tensors_of(value: Any) -> list[torch.Tensor]:
    """The tensors in what a network returned."""
    return [leaf for leaf in _pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def answer_of(network: nn.Module, image: torch.Tensor) -> Any:
    """What a network returns; of one that decides about things, `undecided`: what that is decided from."""
    undecided = getattr(network, "undecided", None)
    return undecided(image) if callable(undecided) else network(image)


class Traced(nn.Module):
    """Returns what the network returns, and the outputs of the layers that ran for nothing of it.

    Torch-Pruning calls its `modules()` and `named_parameters()`, which a network may hide behind attributes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        ran: list[torch.Tensor] = []
        layers = [layer for layer in self.modules() if isinstance(layer, WEIGHTED)]
        hooks = [layer.register_forward_hook(lambda _, __, output: ran.append(output)) for layer in layers]
        try:
            returned = [
                tensor for tensor in tensors_of(answer_of(self.network, image)) if tensor.grad_fn is not None
            ]
        finally:
            for hook in hooks:
                hook.remove()
        seen: set[Any] = set()
        for tensor in returned:
            _reach(tensor.grad_fn, seen)
        for output in reversed(ran):
            if output.grad_fn not in seen:
                returned.append(output)
                _reach(output.grad_fn, seen)
        return returned


def _reach(function: Any, seen: set[Any]) -> None:
    """Add to `seen` what `function` is computed from, itself included."""
    waiting = [function]
    while waiting:
        now = waiting.pop()
        if now is not None and now not in seen:
            seen.add(now)
            waiting.extend(source for source, _ in now.next_functions)
