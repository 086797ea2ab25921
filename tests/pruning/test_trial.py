from __future__ import annotations

import copy

import pytest
import torch
from structures import SHAPE, STRUCTURES, Structure, conv
from torch import nn

from edgeseg.core.model_spec import Pruned
from edgeseg.models.pruning import replay
from edgeseg.pruning import find_units
from edgeseg.pruning.trial import sound_cuts


def made(name: str) -> tuple[nn.Module, set[str]]:
    torch.manual_seed(0)
    create, unsound = STRUCTURES[name]
    return create().eval(), unsound


def output_layers(units) -> set[str]:
    return {link.layer for unit in units for link in unit.links if link.side == "out"}


@pytest.mark.parametrize("name", STRUCTURES)
def test_layers_whose_channels_change_places_are_left_out(name):
    network, unsound = made(name)
    layers = output_layers(find_units(network, SHAPE))
    assert not layers & unsound
    assert "tail" in layers


@pytest.mark.parametrize("name", STRUCTURES)
def test_what_remains_is_the_network_without_the_channels(name):
    """Dead channels alone are taken: the scores stay."""
    network, _ = made(name)
    before = copy.deepcopy(network)
    units = find_units(network, SHAPE)
    cuts = [Pruned.of(unit.layer, range(1, unit.width, 2)) for unit in units if unit.groups == 1]
    with torch.no_grad():
        for unit in units:
            for link in unit.links:
                if link.side == "out":
                    for parameter in link.module.parameters(recurse=False):
                        parameter[1::2] = 0.0
        expected = network(image := torch.randn(1, *SHAPE))
        replay(network, cuts, SHAPE)
        assert cuts and torch.allclose(network(image), expected, atol=1e-5)
    assert sum(p.numel() for p in network.parameters()) < sum(p.numel() for p in before.parameters())


def test_weights_that_hide_a_fault_do_not_mislead():
    """The shuffled channels do not count yet: their reader's weights are zero."""
    network, _ = made("pixel shuffle")
    nn.init.zeros_(network.tail.weight)
    assert not sound_cuts(network, [Pruned("inner", "4-7")], SHAPE)


def test_of_many_cuts_the_sound_ones_are_found():
    def forward(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return net.after(torch.relu(net.scale(net.inner(torch.relu(net.before(x))))))

    scale = STRUCTURES["buffer"][0]().scale
    network = Structure(forward, before=conv(16, 16), inner=conv(16, 16), after=conv(16, 16), scale=scale)
    cuts = [Pruned(layer, "1-3,8") for layer in ("tail", "after", "inner", "before", "stem")]
    assert [cut.layer for cut in sound_cuts(network, cuts, SHAPE)] == ["tail", "after", "before", "stem"]
