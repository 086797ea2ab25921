"""How much each channel of a unit matters. Scores are not negative; the smallest go first.

`taylor` says what the loss loses, which `per_cost` divides by what a channel costs: one measure for all
layers. The others say nothing across layers, so their scores are divided by the mean over the unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgeseg.errors import InputError, ModelError
from edgeseg.pruning.settings import Importance
from edgeseg.pruning.units import Unit

Scores = NDArray[np.float64]
Losses = Callable[[nn.Module], Iterable[torch.Tensor]]
"""Gives the loss of a network on a few batches, one scalar each, with its graph for backpropagation."""

_NORMS = (nn.modules.batchnorm._BatchNorm,)
_WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)


def score(
    importance: Importance,
    module: nn.Module,
    units: Sequence[Unit],
    *,
    losses: Losses | None = None,
    seed: int = 0,
) -> dict[str, Scores]:
    """Scores [width] of the units, by layer. A unit that the measure says nothing about is left out.

    Args:
        losses: for `taylor`; the network is in evaluation mode, its weights and gradients stay as they are.
        seed: of `random`.

    Raises:
        InputError: `taylor` without losses.
        ModelError: `bn` for a network without BatchNorm.
    """
    if importance == "random":
        rng = np.random.default_rng(seed)
        return {unit.layer: rng.random(unit.width) for unit in units}
    if importance == "taylor":
        if losses is None:
            raise InputError("importance 'taylor' has no images", hint="add a [data] section, or use l1")
        effects = _effects(module, losses)
        seen = (u for u in units if any(link.layer in effects for link in u.links))
        return {unit.layer: _sum(unit, effects) for unit in seen}
    if importance == "l1":
        per_layer = {
            link.layer: _l1(link.module) for u in units for link in u.links if _has(link.module, _WEIGHTED)
        }
    else:
        per_layer = {
            link.layer: _scale(link.module) for u in units for link in u.links if _has(link.module, _NORMS)
        }
        if not per_layer:
            raise ModelError(
                "importance 'bn': the network has no BatchNorm with a scale", hint="use l1 or taylor"
            )
    relative = {name: value / max(value.mean(), 1e-30) for name, value in per_layer.items()}
    touched = (u for u in units if any(k.side == "out" and k.layer in relative for k in u.links))
    return {unit.layer: _over_mean(_sum(unit, relative)) for unit in touched}


def per_cost(scores: Mapping[str, Scores], prices: Mapping[str, float]) -> dict[str, Scores]:
    """Scores over what a channel of the unit costs: where the same cost does least harm goes first."""
    return {layer: values / max(prices[layer], 1e-30) for layer, values in scores.items()}


def _has(module: nn.Module, kinds: tuple[type, ...]) -> bool:
    return isinstance(module, kinds) and getattr(module, "weight", None) is not None


def _sum(unit: Unit, per_layer: dict[str, Scores]) -> Scores:
    """Over the output channels of the coupled layers."""
    total = np.zeros(unit.width)
    for link in unit.links:
        if link.side == "out" and link.layer in per_layer:
            np.add.at(total, link.unit, per_layer[link.layer][link.own])
    return total


def _over_mean(values: Scores) -> Scores:
    return values / max(values.mean(), 1e-30)


def _l1(module: nn.Module) -> Scores:
    weight = by_output(module, module.weight.detach())
    return np.asarray(weight.abs().sum(1).double().cpu().numpy())


def _scale(module: nn.Module) -> Scores:
    return np.asarray(module.weight.detach().abs().double().cpu().numpy())


def _effects(module: nn.Module, losses: Losses) -> dict[str, Scores]:
    """Mean over the batches of (sum over a channel of weight x gradient) squared, by layer."""
    layers = {n: m for n, m in module.named_modules() if _has(m, (*_WEIGHTED, *_NORMS))}
    parameters = [p for m in layers.values() for p in m.parameters(recurse=False)]
    total: dict[str, Scores] = {}
    batches = 0
    for loss in losses(module.eval()):
        found = iter(torch.autograd.grad(loss, parameters, allow_unused=True))
        batches += 1
        for name, layer in layers.items():
            effect = sum(
                by_output(layer, parameter.detach() * gradient).sum(1)
                for parameter in layer.parameters(recurse=False)
                if (gradient := next(found)) is not None
            )
            if isinstance(effect, torch.Tensor):
                total[name] = total.get(name, 0.0) + effect.double().square().cpu().numpy()
    if not batches:
        raise InputError("importance 'taylor' has no images", expected="at least one labelled image")
    return {name: value / batches for name, value in total.items()}


def by_output(module: nn.Module, tensor: torch.Tensor) -> torch.Tensor:
    """A parameter of `module` as [output channels, values of that channel]."""
    if tensor.ndim > 1 and getattr(module, "transposed", False):
        groups = module.groups
        parts = tensor.reshape(groups, tensor.shape[0] // groups, tensor.shape[1], -1)
        return parts.transpose(1, 2).reshape(groups * tensor.shape[1], -1)
    return tensor.reshape(tensor.shape[0], -1)
