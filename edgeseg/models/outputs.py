"""Finding the output of a torch network that counts, and a wrapper that returns only that.

Of the float outputs [N,C,H,W] the one with the most pixels counts; of several, the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from edgeseg.errors import ModelError
from edgeseg.runtime.activation import Activation, activation_of

if TYPE_CHECKING:
    from edgeseg.core.preprocess import Size

PLAIN = ""
"""Path of the output of a network that returns one tensor."""


class OneOutput(nn.Module):
    """Calls a network and returns one tensor of what it returns.

    Args:
        path: keys and indices joined by dots (`out`, `0`, `aux.1`).
        frozen: the network cannot change between training and evaluation (`.pt2`).
    """

    def __init__(self, network: nn.Module, path: str, *, frozen: bool = False) -> None:
        super().__init__()
        self.network = network
        self.path = path
        self.frozen = frozen

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        value = self.network(image)
        for key in self.path.split(".") if self.path else ():
            value = value[int(key)] if isinstance(value, (tuple, list)) else value[key]
        scores: torch.Tensor = value
        return scores

    def train(self, mode: bool = True) -> OneOutput:
        if not self.frozen:
            super().train(mode)
        return self


def with_one_output(
    network: nn.Module, size: Size, path: str, *, frozen: bool = False
) -> tuple[nn.Module, str, torch.Tensor]:
    """Run the network on random images and settle which output counts.

    Args:
        path: the output to take; empty: the rule above decides.

    Returns:
        A module with one output, its path in the network's own output, and the scores it gave for
        random images, float [N,C,H,W].

    Raises:
        ModelError: no such output, or none that is a score map.
    """
    runs = [dict(_flatten(network(image))) for image in _random_images(size)]
    if not path:
        maps = [name for name, value in runs[0].items() if value.ndim == 4 and value.is_floating_point()]
        if not maps:
            raise ModelError(
                f"the network returns no score map: {_shapes(runs[0])}", expected="a float tensor [N,C,H,W]"
            )
        path = max(maps, key=lambda name: runs[0][name].shape[2:].numel())
    elif path not in runs[0]:
        raise ModelError(
            f"the network has no output '{path}'",
            expected=f"one of {_shapes(runs[0])}",
            hint="choose with --set output=NAME",
        )
    scores = torch.cat([run[path].float() for run in runs])
    if scores.ndim != 4:
        raise ModelError(f"output '{path}' has the shape {list(scores.shape)}", expected="[N,C,H,W]")
    plain = path == PLAIN and not frozen and not _hides(network)
    return (network if plain else OneOutput(network, path, frozen=frozen)), path, scores


def _hides(network: nn.Module) -> bool:
    """Whether attributes stand before methods that are called on a whole network to export or train it."""
    return not vars(network).keys().isdisjoint({"modules", "parameters"})


def activation(scores: torch.Tensor) -> Activation:
    return activation_of(scores.numpy())


def _random_images(size: Size) -> Iterator[torch.Tensor]:
    """Ordinary and extreme network inputs: logits that stay within 0..1 on all of them are unlikely."""
    generator = torch.Generator().manual_seed(0)
    for strength in (1.0, 8.0):
        yield torch.randn(1, 3, *size, generator=generator) * strength


def _flatten(value: Any, path: str = PLAIN) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield path, value
        return
    if isinstance(value, Mapping):
        items: Any = value.items()
    elif isinstance(value, (tuple, list)):
        items = enumerate(value)
    else:
        return
    for key, inner in items:
        yield from _flatten(inner, f"{path}.{key}" if path else str(key))


def _shapes(outputs: Mapping[str, torch.Tensor]) -> str:
    return ", ".join(f"'{k}' {list(v.shape)}" for k, v in outputs.items()) or "no tensor"
