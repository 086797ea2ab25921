from __future__ import annotations

import copy

import msgspec
import numpy as np
import pytest
import torch

from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import ModelSpec, Pruned, Source, default_classes
from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import InputError, ModelError
from edgeseg.models import family
from edgeseg.models.checkpoint import write_safetensors
from edgeseg.models.load import rebuild
from edgeseg.models.pruning import replay
from edgeseg.pruning import Costs, find_units, score, shrink

ZOO = (
    ("mobile-unet", {}),
    ("unet", {}),
    ("eff-unet", {"encoder": "efficientnet-b0"}),
    ("deeplabv3plus-mobile", {}),
)


def pruned(module, shape, keep, *, by=0, layer_keep=0.1, **options):
    """A copy with `keep` of its MACs (by 0) or parameters (by 1), its history, and what was predicted."""
    units, costs = find_units(module, shape), Costs(module, shape)
    scores = score("l1", module, units)
    floors = {u.layer: max(1, int(layer_keep * u.width)) for u in units}
    limit = costs.after((), {})[by] * keep
    history = shrink(units, scores, lambda r: costs.after(units, r)[by], limit, floors=floors, **options)
    taken = {cut.layer: np.array(cut.indices()) for cut in history}
    result = copy.deepcopy(module)
    replay(result, history, shape)
    return result, history, costs.after(units, taken)


@pytest.mark.parametrize("by", [0, 1])
@pytest.mark.parametrize("keep", [0.7, 0.4])
def test_every_kind_of_coupling_shrinks_to_the_limit_and_runs(network, shape, by, keep):
    before = Costs(network, shape).after((), {})[by]
    small, _, predicted = pruned(network, shape, keep, by=by, multiple=4)
    now = Costs(small, shape)
    assert (now.macs, now.parameters) == predicted
    assert now.parameters == sum(p.numel() for p in small.parameters())
    assert 0.4 * keep < predicted[by] / before <= keep
    assert small(torch.zeros(2, *shape)).shape == (2, *shape)


@pytest.mark.parametrize(("name", "options"), ZOO)
def test_networks_of_the_zoo_shrink_and_history_gives_the_same_network(name, options):
    torch.manual_seed(0)
    module = family(name).create(5, 3, **options).eval()
    small, history, predicted = pruned(module, (3, 64, 64), 0.5)
    now, before = Costs(small, (3, 64, 64)), Costs(module, (3, 64, 64))
    assert (now.macs, now.parameters) == predicted
    assert now.macs <= 0.5 * before.macs
    replay(module, history, (3, 64, 64))
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(module(image), small(image))


def test_a_network_of_five_channels_is_pruned_and_rebuilt(tmp_path):
    torch.manual_seed(0)
    options = {"decoder_channels": (16, 16, 8, 8, 8)}
    module = family("mobile-unet").create(2, 5, **options).eval()
    spec = ModelSpec(
        name="five",
        source=Source(kind="zoo", ref="mobile-unet", options=options),
        input_size=(32, 64),
        classes=default_classes(2),
        preprocess=Preprocess(frame=Frame(order="r,g,b,nir,depth", dtype="float32")),
    )
    small, history, _ = pruned(module, spec.input_shape, 0.5)
    write_safetensors(tmp_path / "w.safetensors", small)
    source = msgspec.structs.replace(spec.source, pruning=tuple(history))
    again = rebuild(msgspec.structs.replace(spec, source=source), tmp_path / "w.safetensors")
    image = torch.randn(1, *spec.input_shape)
    with torch.inference_mode():
        assert torch.equal(again(image), small(image))


def test_removed_channels_are_those_that_matter_least(network, shape):
    """Filters that are zero go first, and taking them away changes nothing."""
    with torch.no_grad():
        network.merge.weight[:8] = 0.0
        network.merge.bias[:8] = 0.0
    units = [u for u in find_units(network, shape) if u.layer == "merge"]
    costs = Costs(network, shape)
    scores = score("l1", network, units)
    limit = costs.after(tuple(units), {"merge": np.arange(8)})[0]
    history = shrink(units, scores, lambda r: costs.after(tuple(units), r)[0], limit, floors={})
    assert history == (Pruned("merge", "0-7"),)
    image = torch.randn(1, *shape)
    with torch.inference_mode():
        expected = network(image)
        replay(network, history, shape)
        assert torch.allclose(network(image), expected, atol=1e-5)


def test_widths_are_multiples_and_limits_per_layer_hold(network, shape):
    small, _, _ = pruned(network, shape, 0.5, multiple=8, layer_keep=0.5)
    for name, layer in small.named_modules():
        if isinstance(layer, torch.nn.modules.conv._ConvNd) and name != "head":
            full = network.get_submodule(name).out_channels
            assert layer.out_channels % 8 == 0 and layer.out_channels >= full / 2


def test_widths_come_from_the_measured_steps(network, shape):
    small, _, _ = pruned(network, shape, 0.6, steps=(12, 20))
    widths = {c.out_channels for n, c in small.named_modules() if hasattr(c, "out_channels") and n != "head"}
    assert widths & {12, 20} and widths <= {8, 12, 16, 20, 24, 32, 48}


def test_an_impossible_limit_says_what_is_possible(network, shape):
    with pytest.raises(InputError, match="cannot bring the MACs down to") as caught:
        pruned(network, shape, 0.1, layer_keep=0.8, what="the MACs")
    assert "at least" in caught.value.expected and "layer_keep" in caught.value.hint


def test_a_cost_that_is_measured_is_asked_a_few_times_only(network, shape):
    units, costs = find_units(network, shape), Costs(network, shape)
    asked = []

    def milliseconds(removal):
        asked.append(removal)
        return costs.after(units, removal)[0] / 1e6

    limit = 0.6 * costs.macs / 1e6
    history = shrink(units, score("l1", network, units), milliseconds, limit, floors={}, multiple=4, tries=32)
    assert len(asked) <= 8
    replay(network, history, shape)
    assert Costs(network, shape).macs <= 0.6 * costs.macs


@pytest.mark.parametrize("cut", [Pruned("nowhere", "0"), Pruned("merge", "0-40"), Pruned("merge", "0-23")])
def test_a_history_of_another_network_is_refused(network, shape, cut):
    with pytest.raises(ModelError, match=f"from '{cut.layer}'"):
        replay(network, [cut], shape)


def test_a_broken_history_is_refused(network, shape):
    with pytest.raises(ModelError, match="0;4"):
        replay(network, [Pruned("merge", "0;4")], shape)
