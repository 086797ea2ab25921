"""Channels that can only be pruned together, as plain data."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgeseg.core.preprocess import Size
from edgeseg.errors import ModelError
from edgeseg.models.pruning import dependency_graph

Indices = NDArray[np.int64]


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


def find_units(module: nn.Module, input_size: Size, protect: Sequence[str] = ()) -> tuple[Unit, ...]:
    """The units of a network, in the order from its output to its input.

    Left out: the layers that give the output, `protect` and what is inside, channels that meet a bare
    parameter, and channels that are a part of what a grouped layer reads.

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
    graph = dependency_graph(module, input_size)
    units = (_unit(graph, group, names, protect) for group in graph.get_all_groups())
    found = tuple(unit for unit in units if unit is not None)
    if not found:
        raise ModelError(
            "the network has no layer that can be pruned",
            expected="convolutions that are torch modules and not protected",
            hint="a .pt2 program holds none: give the network as a zoo name or file.py:factory",
        )
    return found


def _unit(graph: Any, group: Any, names: dict[nn.Module, str], protect: Sequence[str]) -> Unit | None:
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
        own, unit = np.array(item.idxs), np.array(item.root_idxs)
        link = Link(names[module], module, "out" if out else "in", unit, own)
        if out and _inside(link.layer, protect):
            return None
        links.append(link)
    root, width = names[group[0].dep.target.module], len(group[0].idxs)
    if not all(_whole(link, width) for link in links):
        return None
    return Unit(root, width, math.lcm(*(_groups(link.module) for link in links)), tuple(links))


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
