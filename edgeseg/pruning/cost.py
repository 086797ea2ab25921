"""MACs and parameters of a network, and of the network it would be with fewer channels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgeseg.core.preprocess import Shape
from edgeseg.models.pruning import device_of
from edgeseg.pruning.units import Unit

Removal = Mapping[str, NDArray[np.int64]]
"""Channels to take from each unit, by its layer."""


@dataclass(frozen=True)
class _Layer:
    """
    Attributes:
        kernel: weights per pair of output and input channel; 0 for normalisation.
        positions: how often each of them is used per image.
        extra: parameters per output channel besides.
    """

    out: int
    inputs: int
    groups: int
    depthwise: bool
    kernel: int
    positions: int
    extra: int

    def count(self, out: int, inputs: int) -> tuple[int, int]:
        """(MACs, parameters) with so many output and input channels."""
        pairs = out if self.depthwise else out * inputs // self.groups
        return pairs * self.kernel * self.positions, pairs * self.kernel + self.extra * out


class Costs:
    """What each layer of a network costs per image, from one forward pass.

    Counted are convolutions, transposed convolutions, linear layers and the parameters of normalisation.
    """

    def __init__(self, module: nn.Module, shape: Shape) -> None:
        self._layers = _measured(module, shape)

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image."""
        return self.after((), {})[0]

    @property
    def parameters(self) -> int:
        return self.after((), {})[1]

    def after(self, units: tuple[Unit, ...], removal: Removal) -> tuple[int, int]:
        """(MACs, parameters) once the channels of `removal` are gone."""
        counts = self._counts(units, removal).values()
        return sum(c[0] for c in counts), sum(c[1] for c in counts)

    def _counts(self, units: tuple[Unit, ...], removal: Removal) -> dict[str, tuple[int, int]]:
        """(MACs, parameters) of each layer."""
        gone: Counter[tuple[str, str]] = Counter()
        for unit in units:
            if unit.layer not in removal:
                continue
            mask = np.zeros(unit.width, bool)
            mask[removal[unit.layer]] = True
            for link in unit.links:
                gone[link.layer, link.side] += int(mask[link.unit].sum())
        return {
            name: layer.count(layer.out - gone[name, "out"], layer.inputs - gone[name, "in"])
            for name, layer in self._layers.items()
        }

    def prices(
        self, units: tuple[Unit, ...], *, parameters: bool = False, times: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        """MACs, parameters or milliseconds that one channel of each unit costs while the others are whole.

        Args:
            times: milliseconds of the layers by name; a channel is charged the share of them that it has of
                the layer's MACs. Layers that are not named cost as much per MAC as the named ones together.
        """
        whole = self._counts((), {})
        rates = _rates(whole, times or {})

        def cost(removal: Removal) -> float:
            counts = self._counts(units, removal)
            return float(sum(c[1] if parameters else rates[name] * c[0] for name, c in counts.items()))

        found, before = {}, cost({})
        for unit in units:
            part = max(1, unit.width // 2)
            found[unit.layer] = (before - cost({unit.layer: np.arange(part)})) / part
        return found


def _rates(whole: Mapping[str, tuple[int, int]], times: Mapping[str, float]) -> dict[str, float]:
    """Cost of a MAC by layer; 1 for all of them without times."""
    timed = {name: times[name] for name, (macs, _) in whole.items() if macs and name in times}
    usual = sum(timed.values()) / sum(whole[name][0] for name in timed) if timed else 1.0
    return {name: timed[name] / macs if name in timed else usual for name, (macs, _) in whole.items()}


def _measured(module: nn.Module, shape: Shape) -> dict[str, _Layer]:
    layers: dict[str, _Layer] = {}
    hooks = []
    for name, layer in module.named_modules():
        if isinstance(
            layer, (nn.modules.conv._ConvNd, nn.Linear, nn.modules.batchnorm._BatchNorm, nn.GroupNorm)
        ):
            hooks.append(layer.register_forward_hook(_recorder(name, layers)))
    try:
        with torch.inference_mode():
            module.eval()(torch.zeros((1, *shape), device=device_of(module)))
    finally:
        for hook in hooks:
            hook.remove()
    return layers


def _recorder(name: str, layers: dict[str, _Layer]) -> Any:
    def record(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen = layers[name].positions if name in layers else 0
        own = [p.numel() for p in layer.parameters(recurse=False)]
        if isinstance(layer, nn.Linear):
            positions = seen + output.numel() // layer.out_features
            layers[name] = _Layer(
                layer.out_features, layer.in_features, 1, False, 1, positions, int(layer.bias is not None)
            )
        elif isinstance(layer, nn.modules.conv._ConvNd):
            pixels = inputs[0] if layer.transposed else output
            depthwise = layer.groups == layer.out_channels == layer.in_channels and layer.groups > 1
            layers[name] = _Layer(
                layer.out_channels,
                layer.in_channels,
                layer.groups,
                depthwise,
                int(np.prod(layer.kernel_size)),
                seen + int(pixels.shape[0] * np.prod(pixels.shape[2:])),  # heads of things: a row per box
                int(layer.bias is not None),
            )
        else:
            channels = int(output.shape[1])
            layers[name] = _Layer(channels, 0, 1, False, 0, 0, sum(own) // channels)

    return record
