"""Which channels can be taken from a network: tried, since what was traced may be wrong."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from edgeseg.core.model_spec import Pruned
from edgeseg.core.preprocess import Shape
from edgeseg.models.pruning import Pruner


def sound_cuts(module: nn.Module, cuts: Sequence[Pruned], shape: Shape) -> tuple[Pruned, ...]:
    """Those of the cuts, each of another layer, that leave the network before without these channels.

    All are tried at once, on a copy with random weights, since trained ones may hide that a channel counts.
    If that fails, so are both halves.
    """
    return _sound(Pruner(_random(module, shape), shape), tuple(cuts))


def _sound(pruner: Pruner, cuts: tuple[Pruned, ...]) -> tuple[Pruned, ...]:
    if not cuts or pruner.can_prune(cuts):
        return cuts
    half = len(cuts) // 2
    return _sound(pruner, cuts[:half]) + _sound(pruner, cuts[half:]) if half else ()


def _random(module: nn.Module, shape: Shape) -> nn.Module:
    """A copy with random weights, scaled so that every layer gives values about 1 (Mishkin and Matas 2016,
    arXiv:1511.06422): no branch fades, no gate is saturated."""
    copied = copy.deepcopy(module).cpu().eval()
    generator = torch.Generator().manual_seed(0)
    hooks = []
    with torch.no_grad():
        for parameter in nn.Module.parameters(copied):
            if parameter.is_floating_point():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        for layer in nn.Module.modules(copied):
            if isinstance(layer, (nn.modules.conv._ConvNd, nn.Linear)):
                hooks.append(layer.register_forward_hook(_to_unit_size))
            elif isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None:
                layer.reset_running_stats()
        copied(torch.randn(1, *shape, generator=generator))
    for hook in hooks:
        hook.remove()
    return copied


def _to_unit_size(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
    size = output.square().mean().sqrt().clamp(min=1e-6)
    for parameter in layer.parameters(recurse=False):
        parameter /= size
    return output / size
