"""Channels of a Mask R-CNN: coupled through the pyramid, shared by its levels, flattened in its box head."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from small_rcnn import SIZE, images_of, narrow

from edgeseg.core.model_spec import Pruned
from edgeseg.graph.export import export_torch
from edgeseg.graph.reference import run, session
from edgeseg.models.detection.static import StaticMaskRCNN
from edgeseg.models.pruning import replay
from edgeseg.pruning.cost import Costs
from edgeseg.pruning.units import Unit, find_units

SHAPE = (3, *SIZE)
OUTPUTS = {"rpn.head.cls_logits", "rpn.head.bbox_pred"} | {
    f"roi_heads.{name}"
    for name in ("box_predictor.cls_score", "box_predictor.bbox_pred", "mask_predictor.mask_fcn_logits")
}


@pytest.fixture(scope="module")
def network() -> StaticMaskRCNN:
    return StaticMaskRCNN(narrow(), SIZE).eval()


@pytest.fixture(scope="module")
def units(network) -> dict[str, Unit]:
    return {unit.layer.removeprefix("network."): unit for unit in find_units(network, SHAPE)}


def links(unit: Unit, side: str) -> set[str]:
    return {link.layer.removeprefix("network.") for link in unit.links if link.side == side}


def unit_of(units: dict[str, Unit], layer: str) -> Unit:
    (found,) = (unit for unit in units.values() if layer in links(unit, "out"))
    return found


def test_what_gives_the_answers_stays(units):
    assert not OUTPUTS & set().union(*(links(unit, "out") for unit in units.values()))


def test_sums_of_the_pyramid_couple_its_levels(units):
    inner = unit_of(units, "backbone.fpn.inner_blocks.0.0")
    assert links(inner, "out") == {f"backbone.fpn.inner_blocks.{i}.0" for i in range(3)}
    assert links(inner, "in") == {f"backbone.fpn.layer_blocks.{i}.0" for i in range(3)}


def test_maps_of_the_pyramid_are_read_by_all_heads(units):
    maps = unit_of(units, "backbone.fpn.layer_blocks.0.0")
    assert links(maps, "out") == {f"backbone.fpn.layer_blocks.{i}.0" for i in range(3)}
    heads = {"rpn.head.conv.0.0", "roi_heads.box_head.fc6", "roi_heads.mask_head.0.0"}
    assert links(maps, "in") == heads
    (flat,) = (link for link in maps.links if link.layer.endswith("fc6"))
    assert len(flat.own) == 49 * maps.width


def test_a_third_of_all_channels_goes_and_the_shapes_stay(network, units):
    pruned = copy.deepcopy(network)
    history = [Pruned.of(unit.layer, np.arange(unit.width * 3 // 10)) for unit in units.values()]
    replay(pruned, history, SHAPE)
    assert Costs(pruned, SHAPE).macs < 0.7 * Costs(network, SHAPE).macs
    image = images_of(1)
    with torch.no_grad():
        before, after = network(image), pruned(image)
    assert {name: value.shape for name, value in before.items()} == {n: v.shape for n, v in after.items()}
    model = export_torch(pruned, SHAPE)
    found = run(session(model), {"image": image.numpy()})
    for name, value in after.items():
        np.testing.assert_allclose(found[name], value.numpy(), atol=1e-2)


def test_heads_cost_as_often_as_there_are_boxes(network):
    few = copy.deepcopy(network)
    few.network.rpn._post_nms_top_n["testing"] = 10
    few.network.roi_heads.detections_per_img = 5
    few = StaticMaskRCNN(few.network, SIZE)
    assert Costs(few, SHAPE).macs < Costs(network, SHAPE).macs
    assert Costs(few, SHAPE).parameters == Costs(network, SHAPE).parameters
