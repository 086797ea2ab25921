from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeseg.core.model_spec import Pruned
from edgeseg.errors import ModelError
from edgeseg.models.pruning import replay
from edgeseg.pruning import find_units


def by_layer(network, shape, protect=()):
    return {unit.layer: unit for unit in find_units(network, shape, protect)}


def layers_of(unit, side):
    return {link.layer for link in unit.links if link.side == side}


def containing(units, layer):
    return next((u for u in units.values() if layer in layers_of(u, "out")), None)


def test_layers_that_are_summed_shrink_together(network, shape):
    residual = containing(by_layer(network, shape), "stem.0")
    assert {"stem.0", "stem.1", "project.0", "project.1"} <= layers_of(residual, "out")
    assert {"expand.0", "down", "merge"} == layers_of(residual, "in")


def test_a_depthwise_layer_follows_what_it_reads(network, shape):
    unit = containing(by_layer(network, shape), "expand.0")
    assert {"expand.0", "depthwise", "excite"} <= layers_of(unit, "out")
    assert unit.groups == 1


def test_channels_of_a_grouped_layer_go_in_groups(network, shape):
    units = by_layer(network, shape)
    assert containing(units, "down").groups == 4
    assert containing(units, "grouped").groups == 4


def test_a_concatenation_is_read_at_an_offset(network, shape):
    unit = containing(by_layer(network, shape), "up")
    link = next(link for link in unit.links if link.layer == "merge")
    assert list(link.own) == list(range(16, 32)) and list(link.unit) == list(range(16))


def test_the_last_layer_stays(network, shape):
    assert containing(by_layer(network, shape), "head") is None


@pytest.mark.parametrize("ending", [nn.Sigmoid(), nn.Upsample(scale_factor=2), nn.Identity()])
def test_the_last_layer_stays_whatever_follows_it(network, shape, ending):
    units = by_layer(nn.Sequential(network, ending), shape)
    assert containing(units, "0.head") is None and containing(units, "0.merge") is not None


def test_protected_names_cover_what_is_inside(network, shape):
    units = by_layer(network, shape, ["expand", "project"])
    assert containing(units, "expand.0") is None
    assert containing(units, "stem.0") is None
    assert containing(units, "merge") is not None


def test_an_unknown_layer_names_the_nearest(network, shape):
    with pytest.raises(ModelError, match="no layer 'expnd'") as caught:
        find_units(network, shape, ["expnd"])
    assert "expand" in caught.value.expected


def test_a_network_with_nothing_to_prune_is_refused(shape):
    with pytest.raises(ModelError, match="no layer that can be pruned"):
        find_units(nn.Sequential(nn.Conv2d(3, 4, 1)), shape)


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("Unet", {"decoder_attention_type": "scse"}, 32),
        ("PAN", {}, 128),
        ("MAnet", {}, 64),
        ("Segformer", {"encoder_name": "mit_b0"}, 64),
    ],
)
def test_networks_with_attention_have_units_that_can_be_taken(name, options, size):
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    options = {"encoder_name": "resnet18", "encoder_weights": None, "classes": 3, **options}
    module = getattr(smp, name)(**options).eval()
    units = find_units(module, (3, size, size))
    cuts = [Pruned.of(u.layer, range(0, u.width, 2)) for u in units if u.groups == 1 and u.width > 1]
    replay(module, cuts, (3, size, size))
    assert len(cuts) > 10 and module(torch.zeros(1, 3, size, size)).shape == (1, 3, size, size)
