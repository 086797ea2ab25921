from __future__ import annotations

import pytest
from patterns import Net
from test_planner_trial import CAMERA, split

from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.recipe import Budget
from edgeseg.core.target import Target
from edgeseg.quantize import swish_trial
from edgeseg.quantize.hard_swish import hard_swish
from edgeseg.quantize.held_out import HeldOut
from edgeseg.quantize.planner_tables import SwishTrial

pytest.importorskip("openvino")


def trial(budget: Budget, monkeypatch: pytest.MonkeyPatch, *, faster: bool = True) -> SwishTrial:
    """On a small network, with the clock turned the way the test wants it: what is decided is tested, not
    how fast this machine is."""
    net = Net()
    a = net.conv("c1", "image", 3, 8)
    b = net.op("Mul", "swish", a, net.op("Sigmoid", "sigmoid", a))
    model = net.model(net.conv("c2", b, 8, 3), shape=(1, 3, *CAMERA))
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
    fitted = hard_swish(model, feeds)
    target = Target.parse("openvino-int8")
    return swish_trial.try_hard_swish(model, fitted, 1, held_out, target, "", budget)


def test_faster_and_within_half_of_the_budget_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = trial(Budget(max_drop=100.0), monkeypatch).drop
    found = trial(Budget(max_drop=2.1 * lost), monkeypatch)
    assert found.used and found.layers == 1 and found.ratio == 0.5
    assert "Swish of 1 layer as HardSwish" in str(found) and str(found).endswith("; used")


def test_slower_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    found = trial(Budget(max_drop=100.0), monkeypatch, faster=False)
    assert not found.used and str(found).endswith("; not used")


def test_what_costs_more_than_half_of_the_budget_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = trial(Budget(max_drop=100.0), monkeypatch).drop
    assert lost > 0
    assert not trial(Budget(max_drop=1.9 * lost), monkeypatch).used
    assert not trial(Budget(max_class_drop={"class0": 0.0, "class1": 0.0}), monkeypatch).used
