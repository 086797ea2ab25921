"""Finding the output of a torch network that counts, and a wrapper that returns only that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from edgeseg.runtime.score_map import find_score_map, noise
from edgeseg.runtime.seen import Seen, seen

if TYPE_CHECKING:
    from edgeseg.core.ports import Array
    from edgeseg.core.preprocess import Shape

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


def one_output(network: nn.Module, path: str, *, frozen: bool = False) -> nn.Module:
    """A module that returns the output at `path` alone."""
    plain = path == PLAIN and not frozen and not _hides(network)
    return network if plain else OneOutput(network, path, frozen=frozen)


def find_output(
    network: nn.Module, shape: Shape, *, stated: str | None = None, stretch: bool = False
) -> tuple[str, tuple[Seen, ...]]:
    """Run the network on random images of `shape` and settle which output counts, see `find_score_map`.

    Returns:
        Its path in the network's own output, and what was seen of the scores [1,C,H,W] for each image.

    Raises:
        ModelError: no such output, none that is a score map, or several that are equally large.
    """
    runs = [
        {path: seen(_array(value)) for path, value in _flatten(network(torch.from_numpy(image)))}
        for image in noise((1, *shape))
    ]
    path = find_score_map(runs, shape[1:], stated=stated, stretch=stretch)
    return path, tuple(run[path] for run in runs)


def _hides(network: nn.Module) -> bool:
    """Whether attributes stand before methods that are called on a whole network to export or train it."""
    return not vars(network).keys().isdisjoint({"modules", "parameters"})


def _array(value: torch.Tensor) -> Array:
    value = value.detach()
    array: Array = (value.float() if value.is_floating_point() else value).numpy()
    return array


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
