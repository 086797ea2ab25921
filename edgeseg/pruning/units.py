"""Channels that can only be pruned together, as plain data."""

from __future__ import annotations

import difflib
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgeseg.core.model_spec import Pruned
from edgeseg.core.preprocess import Shape
from edgeseg.errors import ModelError
from edgeseg.models.pruning import dependency_graph
from edgeseg.pruning.trial import sound_cuts

Indices = NDArray[np.int64]

ROOTS = (nn.modules.conv._ConvNd, nn.Linear)
LINKED = (
    *ROOTS,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.PReLU,
)
"""Layers whose channels are those of the maps they read and give."""


@dataclass(frozen=True)
class Link:
    """Where the channels of a unit lie in one layer.

    Attributes:
        side: `out`, or `in` for the input channels of a layer that reads them.
        unit, own: channel `unit[i]` of the unit is channel `own[i]` of the layer.
    """

    layer: str
    module: nn.Module
    side: Literal["out", "in"]
    unit: Indices
    own: Indices


@dataclass(frozen=True)
class Unit:
    """Channels of one layer with everything they are coupled to: sums, depthwise layers, concatenations.

    Attributes:
        layer: its name; `width`: its output channels.
        groups: channels i, i + width / groups, ... go together (grouped convolution, group normalisation).
        links: every layer that loses something with a channel, the unit's own one included.
    """

    layer: str
    width: int
    groups: int
    links: tuple[Link, ...]


def find_units(module: nn.Module, shape: Shape, protect: Sequence[str] = ()) -> tuple[Unit, ...]:
    """The units of a network, in the order from its output to its input.

    Left out: the layers that give the output, `protect` and what is inside, channels that meet a bare
    parameter, those that are a part of what a grouped layer reads or can only go all together, and those
    whose removal, tried on random weights, changes more than themselves.

    Raises:
        ModelError: a protected layer that is not there, or no layer that can be pruned.
    """
    names = {layer: name for name, layer in module.named_modules() if name}
    for wanted in protect:
        if wanted not in names.values():
            close = difflib.get_close_matches(wanted, names.values(), n=4, cutoff=0.3)
            raise ModelError(
                f"there is no layer '{wanted}' to protect",
                expected=f"the name of a module, such as {', '.join(close or list(names.values())[:4])}",
            )
    graph = dependency_graph(module, shape)
    groups = (_unit(graph, group, names, protect) for group in _coupled(graph, names))
    units = [unit for unit in groups if unit is not None]
    trials = [Pruned.of(unit.layer, _some(unit)) for unit in units]
    sound = {cut.layer for cut in sound_cuts(module, trials, shape)}
    if not sound:
        raise ModelError(
            "the network has no layer that can be pruned",
            expected="convolutions that are torch modules and not protected",
            hint="a .pt2 program holds none: give the network as a zoo name or file.py:factory",
        )
    return tuple(unit for unit in units if unit.layer in sound)


def _coupled(graph: Any, names: dict[nn.Module, str]) -> Iterator[Any]:
    """What goes with the output channels of a layer, for each layer that no group before holds."""
    seen: set[nn.Module] = set()
    for layer in list(graph.module2node):
        if not isinstance(layer, ROOTS) or layer not in names or layer in seen:
            continue
        try:
            pruner = graph.get_pruner_of_module(layer)
            channels = list(range(pruner.get_out_channels(layer)))
            group = graph.get_pruning_group(layer, pruner.prune_out_channels, channels)
        except Exception:  # Torch-Pruning met an index that it cannot follow: IndexError, TypeError, ...
            continue
        seen.update(i.dep.target.module for i in group if graph.is_out_channel_pruning_fn(i.dep.handler))
        yield group


def _unit(graph: Any, group: Any, names: dict[nn.Module, str], protect: Sequence[str]) -> Unit | None:
    root, width = names[group[0].dep.target.module], len(group[0].idxs)
    links = []
    for item in group:
        node, module = item.dep.target, item.dep.target.module
        out = graph.is_out_channel_pruning_fn(item.dep.handler)
        if out and not node.outputs:
            return None
        if isinstance(module, nn.Parameter):
            return None
        if module not in names:
            continue
        own = graph.get_out_channels(node) if out else graph.get_in_channels(node)
        if not isinstance(module, LINKED) or not (_fits(item.root_idxs, width) and _fits(item.idxs, own)):
            return None
        link = Link(
            names[module], module, "out" if out else "in", np.array(item.root_idxs), np.array(item.idxs)
        )
        if out and _inside(link.layer, protect):
            return None
        links.append(link)
    groups = math.lcm(*(_groups(link.module) for link in links))
    if groups == width or not all(_whole(link, width) for link in links):
        return None
    return Unit(root, width, groups, tuple(links))


def _fits(indices: Iterable[int | None], width: int | None) -> bool:
    """Whether these are channels of a layer; `width` is None for one that has a parameter for all of them."""
    return all(i is not None and i >= 0 and (width is None or i < width) for i in indices)


def _some(unit: Unit) -> NDArray[np.int64]:
    """A part of the channels, in no order that a layer could have: a wrong index shows."""
    rng = np.random.default_rng(zlib.crc32(unit.layer.encode()))
    positions = unit.width // unit.groups
    taken = rng.choice(positions, size=rng.integers(1, positions // 2 + 1), replace=False)
    return (taken[None] + positions * np.arange(unit.groups)[:, None]).reshape(-1)


def _inside(layer: str, protect: Iterable[str]) -> bool:
    return any(layer == name or layer.startswith(f"{name}.") for name in protect)


def _groups(module: nn.Module) -> int:
    """Parts in which a layer's channels must shrink alike; 1 for a depthwise convolution."""
    if isinstance(module, nn.GroupNorm):
        return module.num_groups
    groups = int(getattr(module, "groups", 1))
    return 1 if groups == getattr(module, "out_channels", 0) == getattr(module, "in_channels", 0) else groups


def _whole(link: Link, width: int) -> bool:
    """Whether a grouped layer holds exactly the unit's channels, in their order."""
    if _groups(link.module) == 1:
        return True
    return len(link.own) == width and bool((link.own == link.unit).all())
