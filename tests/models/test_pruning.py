from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgeseg.core.model_spec import Pruned
from edgeseg.errors import ModelError
from edgeseg.models.outputs import one_output
from edgeseg.models.pruning import Pruner, replay

SHAPE = (3, 8, 12)
IMAGE = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.wide = nn.Conv2d(8, 16, 1)
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(functional.pixel_shuffle(self.wide(torch.relu(self.stem(image))), 2))


def test_a_cut_that_changes_other_channels_is_refused_by_name_and_undone():
    network = Net().eval()
    expected = network(IMAGE)
    with pytest.raises(ModelError, match="pruning the channels 0-3 of 'wide'"):
        replay(network, [Pruned("stem", "1"), Pruned("wide", "0-3"), Pruned("stem", "0")], SHAPE)
    assert torch.equal(network(IMAGE), expected)


def test_a_cut_that_is_tried_leaves_the_network_as_it_was():
    network = Net().eval()
    expected = network(IMAGE)
    pruner = Pruner(network, SHAPE)
    assert pruner.can_prune([Pruned("stem", "0,5")]) and not pruner.can_prune([Pruned("wide", "0-3")])
    assert torch.equal(network(IMAGE), expected)
    assert pruner.prune([Pruned("stem", "0,5")]) and network.stem.out_channels == 6


def test_removed_channels_are_zeros_to_those_that_read_them():
    network = Net().eval()
    with torch.no_grad():
        zeros = copy.deepcopy(network)
        zeros.wide.weight[:, [2, 3, 7]] = 0.0
        replay(network, [Pruned("stem", "3"), Pruned("stem", "2,6")], SHAPE)
        assert torch.allclose(network(IMAGE), zeros(IMAGE), atol=1e-6)


class Normed(nn.Module):
    def __init__(self, groups: int = 0, width: int = 8) -> None:
        super().__init__()
        self.groups = groups
        self.stem = nn.Conv2d(3, width, 1)
        self.norm = nn.GroupNorm(groups, width) if groups else nn.LayerNorm(width)
        self.head = nn.Conv2d(width, 3, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = self.stem(image)
        if self.groups:
            return self.head(self.norm(found))
        return self.head(self.norm(found.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


@pytest.mark.parametrize("groups", [0, 2])
def test_norms_over_channels_are_those_of_the_network_built_narrower(groups):
    torch.manual_seed(0)
    network, narrow = Normed(groups).eval(), Normed(groups, 6).eval()
    nn.init.normal_(network.norm.weight)
    kept = [0, 2, 3, 4, 6, 7]
    with torch.no_grad():
        for layer in ("stem", "norm"):
            for name, parameter in narrow.get_submodule(layer).named_parameters():
                parameter.copy_(network.get_submodule(layer).get_parameter(name)[kept])
        narrow.head.weight.copy_(network.head.weight[:, kept])
        narrow.head.bias.copy_(network.head.bias)
        replay(network, [Pruned("stem", "1,5")], SHAPE)
        assert torch.allclose(network(IMAGE), narrow(IMAGE), atol=1e-6)


class TwoHeads(nn.Module):
    """The auxiliary head runs, and its scores are not returned."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Conv2d(8, 3, 1)
        self.aux = nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 3, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = torch.relu(self.stem(image))
        self.aux(found)
        return self.head(found)


def test_a_head_that_is_not_returned_follows():
    network = TwoHeads().eval()
    replay(network, [Pruned("stem", "0-3"), Pruned("aux.0", "1")], SHAPE)
    assert network.aux[0].in_channels == 4 and network.aux[2].in_channels == 3
    assert network(IMAGE).shape == (1, *SHAPE)


def test_attributes_may_be_called_as_methods_are():
    network = TwoHeads().eval()
    network.modules, network.parameters = ["stem"], {"classes": 3}
    replay(network, [Pruned("stem", "0-3")], SHAPE)
    assert network.head.in_channels == 4
    assert len(list(one_output(network, "").parameters())) == 8
