from __future__ import annotations

import pytest
from onnx import ModelProto
from patterns import Net
from test_planner_trial import CAMERA, split

from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.recipe import Budget
from edgeseg.core.target import Target
from edgeseg.quantize import swish_trial
from edgeseg.quantize.hard_swish import fit_swishes
from edgeseg.quantize.held_out import HeldOut
from edgeseg.quantize.planner_tables import SwishTrial

pytest.importorskip("openvino")


Found = tuple[ModelProto, SwishTrial, int]


def trial(budget: Budget, monkeypatch: pytest.MonkeyPatch, *, faster: bool = True) -> Found:
    """On a small network, with the clock turned the way the test wants it: what is decided is tested, not
    how fast this machine is."""
    net = Net()
    a = net.conv("c1", "image", 3, 8)
    b = net.op("Mul", "swish", a, net.op("Sigmoid", "sigmoid", a))
    c = net.conv("c2", b, 8, 4)
    d = net.op("Mul", "swish2", c, net.op("Sigmoid", "sigmoid2", c))
    model = net.model(net.conv("c3", d, 4, 3), shape=(1, 3, *CAMERA))
    spec = ModelSpec(
        name="small",
        source=Source(kind="zoo", ref="small"),
        task="semantic",
        input_size=CAMERA,
        classes=default_classes(3),
    )
    rng = net.rng
    feeds = [{"image": rng.normal(size=(1, 3, *CAMERA)).astype("float32")} for _ in range(2)]
    measured = swish_trial.in_turn

    def in_turn(engines):
        blocks = measured(engines)
        assert len(blocks) == 2 and all(ms > 0 for turns in blocks for turn in turns for ms in turn)
        return [[[2.0] * 4] * 10, [[1.0 if faster else 2.5] * 4] * 10]

    monkeypatch.setattr(swish_trial, "in_turn", in_turn)
    held_out = HeldOut(model, spec, CAMERA, split(()))
    target = Target.parse("openvino-int8")
    fitted = fit_swishes(model, feeds)
    graph, found = swish_trial.try_hard_swish(model, fitted, held_out, target, "", budget)
    return graph, found, sum(node.op_type == "HardSwish" for node in graph.graph.node)


def test_the_gentler_half_is_replaced_where_that_is_faster_and_within_half_of_the_budget(monkeypatch) -> None:
    _, found, replaced = trial(Budget(max_drop=100.0), monkeypatch)
    assert found.used and found.swishes == 2 and found.layers == replaced == 1 and found.ratio == 0.5
    assert "1 of 2 Swishes as HardSwish" in str(found) and str(found).endswith("; used")


def test_slower_is_not_used(monkeypatch) -> None:
    _, found, replaced = trial(Budget(max_drop=100.0), monkeypatch, faster=False)
    assert not found.used and replaced == 0 and str(found).endswith("; not used")


def test_what_costs_more_than_half_of_the_budget_is_not_used(monkeypatch) -> None:
    lost = trial(Budget(max_drop=100.0), monkeypatch)[1].drop
    assert lost > 0
    for budget in (Budget(max_drop=1.9 * lost), Budget(max_class_drop={"class0": 0.0, "class1": 0.0})):
        _, found, replaced = trial(budget, monkeypatch)
        assert not found.used and replaced == 0
