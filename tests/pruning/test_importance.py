from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgeseg.errors import InputError, ModelError
from edgeseg.pruning import Costs, find_units, score
from edgeseg.pruning.importance import by_output, per_cost


def scores_of(importance, network, shape, **options):
    return score(importance, network, find_units(network, shape), **options)


def losses(module):
    for seed in range(2):
        image = torch.randn(1, 3, 16, 24, generator=torch.Generator().manual_seed(seed))
        yield module(image).square().mean()


@pytest.mark.parametrize("importance", ["l1", "bn", "taylor", "random"])
def test_one_score_per_channel_none_negative_the_same_every_time(network, shape, importance):
    first = scores_of(importance, network, shape, losses=losses)
    again = scores_of(importance, network, shape, losses=losses)
    widths = {u.layer: u.width for u in find_units(network, shape)}
    assert first
    for layer, values in first.items():
        assert values.shape == (widths[layer],) and (values >= 0).all()
        assert np.array_equal(values, again[layer])


def test_l1_ranks_by_filter_norm(network, shape):
    with torch.no_grad():
        network.merge.weight[3] *= 100.0
        network.merge.weight[5] *= 0.0
    found = scores_of("l1", network, shape)["merge"]
    assert found.argmax() == 3 and found.argmin() == 5


def test_bn_knows_only_units_with_a_batchnorm(network, shape):
    found = scores_of("bn", network, shape)
    assert "merge" not in found
    assert any(unit.layer in found for unit in find_units(network, shape))
    with pytest.raises(ModelError, match="no BatchNorm"):
        plain = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1))
        scores_of("bn", plain, shape)


def test_taylor_sees_that_a_channel_nobody_reads_does_not_matter(network, shape):
    with torch.no_grad():
        network.head.weight[:, 7] = 0.0
    found = scores_of("taylor", network, shape, losses=losses)["merge"]
    assert found[7] == 0.0 and np.delete(found, 7).max() > 0.0
    assert all(p.grad is None for p in network.parameters())


def test_where_a_channel_costs_more_the_same_effect_ranks_lower(network, shape):
    units = find_units(network, shape)
    prices = Costs(network, shape).prices(units)
    assert prices["merge"] > prices["squeeze"] > 0
    same = {unit.layer: np.ones(unit.width) for unit in units}
    found = per_cost(same, prices)
    assert found["merge"].max() < found["squeeze"].min()


def test_prices_are_what_leaves_with_a_channel(network, shape):
    units, costs = find_units(network, shape), Costs(network, shape)
    whole, less = costs.after((), {}), costs.after(units, {"merge": np.arange(12)})
    assert costs.prices(units)["merge"] * 12 == pytest.approx(whole[0] - less[0])
    assert costs.prices(units, parameters=True)["merge"] * 12 == pytest.approx(whole[1] - less[1])


def test_a_channel_costs_its_share_of_the_measured_time_of_its_layers(network, shape):
    units, costs = find_units(network, shape), Costs(network, shape)
    assert costs.prices(units, times={"merge": 12.0, "head": 24.0})["merge"] == pytest.approx(36.0 / 24)
    both = costs.prices(units, times={"squeeze": 4.0, "excite": 8.0})
    assert both["squeeze"] == pytest.approx(12.0 / 8)


def test_layers_without_a_time_cost_as_much_per_mac_as_the_others(network, shape):
    units, costs = find_units(network, shape), Costs(network, shape)
    head = 24 * 3 * shape[1] * shape[2]
    macs, milliseconds = costs.prices(units), costs.prices(units, times={"head": 1.0})
    assert milliseconds == pytest.approx({layer: price / head for layer, price in macs.items()})


def test_taylor_needs_images(network, shape):
    with pytest.raises(InputError, match="no images"):
        scores_of("taylor", network, shape)
    with pytest.raises(InputError, match="no images"):
        scores_of("taylor", network, shape, losses=lambda module: [])


def test_random_depends_on_its_seed_only(network, shape):
    first, second = (scores_of("random", network, shape, seed=seed)["merge"] for seed in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("groups", [1, 2])
def test_weights_of_a_transposed_convolution_by_output_channel(groups):
    layer = nn.ConvTranspose2d(4, 6, 2, groups=groups, bias=False)
    values = by_output(layer, layer.weight.detach())
    assert values.shape[0] == 6
    for channel in range(6):
        layer.zero_grad()
        layer(torch.ones(1, 4, 3, 3))[:, channel].sum().backward()
        used = layer.weight.detach()[layer.weight.grad != 0]
        assert torch.equal(used.sort().values, values[channel].sort().values)
