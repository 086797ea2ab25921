from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
import pytest
from patterns import Net

from edgeseg.core.model_spec import ClassInfo, ModelSpec, Source, default_classes
from edgeseg.core.ports import Layer
from edgeseg.core.target import Target
from edgeseg.datasets.split import Split
from edgeseg.device.race import Turn
from edgeseg.device.timing import PLANNING, PLANNING_BRIEFLY, alternate
from edgeseg.quantization.planner.held_out_loss import HeldOut
from edgeseg.quantization.planner.trial import TargetEvaluator
from edgeseg.quantization.planner.trial_engine import timed
from edgeseg.quantization.ptq import PtqSettings, calibrate
from edgeseg.quantization.schemes import scheme_for

CAMERA = (24, 32)
PIXELS = np.random.default_rng(0).integers(0, 256, (6, *CAMERA, 3), dtype=np.uint8)


def split(classes: tuple[ClassInfo, ...]) -> Split:
    return Split(
        dataset="noise",
        name="train",
        ids=tuple(map(str, range(6))),
        classes=classes,
        ignore_index=None,
        read_image=lambda name: PIXELS[int(name)],
        read_label=lambda name: PIXELS[int(name), ..., 0] % 3,
    )


def evaluator(
    target: str, *, labels: bool = True, task: str = "semantic", keep: frozenset[str] = frozenset()
) -> TargetEvaluator:
    net = Net()
    a = net.op("Relu", "act", net.conv("c1", "image", 3, 8))
    b = net.op("Relu", "act2", net.conv("c2", a, 8, 8))
    model = net.model(net.conv("c3", b, 8, 3), shape=(1, 3, *CAMERA))
    spec = ModelSpec(
        name="small",
        source=Source(kind="zoo", ref="small"),
        task=task,
        input_size=CAMERA,
        classes=default_classes(3),
    )  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    feeds = [{"image": rng.normal(size=(1, 3, *CAMERA)).astype(np.float32)} for _ in range(2)]
    scheme = scheme_for(Target.parse(target).engine)
    calibrated = calibrate(model, feeds, scheme, PtqSettings(correct_bias=False))
    images = split(default_classes(3) if labels else ())
    held_out = HeldOut(model, spec, CAMERA, images)
    return TargetEvaluator(calibrated, held_out, Target.parse(target), keep=keep)


FLOAT = frozenset({"c1", "c2", "c3"})


@pytest.mark.parametrize("target", ["openvino-int8", "ort-int8", "trt-int8@orin"])
def test_float_keeps_the_masks_and_int8_changes_some(target: str) -> None:
    if target.startswith("openvino"):
        pytest.importorskip("openvino")
    with evaluator(target) as found:
        kept, changed = found.loss(FLOAT), found.loss(frozenset())
    assert kept.changed < 3 and changed.changed > kept.changed
    assert set(changed.class_drop) == {c.name for c in default_classes(3)}
    assert np.mean(list(changed.class_changed.values())) == pytest.approx(changed.changed)


def test_without_labels_the_drop_is_what_changed() -> None:
    with evaluator("ort-int8", labels=False) as found:
        loss = found.loss(frozenset())
    assert not found.held_out.labelled and loss.drop == loss.changed and loss.class_drop == loss.class_changed


def test_bit_masks_are_compared_class_by_class() -> None:
    with evaluator("ort-int8", task="multilabel") as found:
        loss = found.loss(frozenset({"c1"}))
    assert not found.held_out.labelled and 0 < loss.drop < 50 and len(loss.class_changed) == 3


def test_kept_nodes_are_float_in_every_plan() -> None:
    with evaluator("ort-int8", keep=FLOAT) as found:
        assert found.loss(frozenset()).changed == 0


def test_plans_are_timed_in_turn_and_layer_by_layer() -> None:
    pytest.importorskip("openvino")
    with evaluator("openvino-int8") as found:
        long = found.race([FLOAT, frozenset(), frozenset({"c2"})])
        brief = found.race([FLOAT, frozenset()], brief=True)
    openings, turns_each = PLANNING_BRIEFLY
    assert [[len(turns) for turns in one.openings] for one in brief] == [[turns_each] * openings] * 2
    for one in long:
        assert [len(turns) for turns in one.openings] == [PLANNING.turns] * PLANNING.openings
        assert all(ms > 0 for turns in one.openings for turn in turns for ms in turn)
        assert set(one.node_ms) == {"c1", "c2", "c3"} and one.milliseconds > 0


@pytest.mark.parametrize("since", [45, 55])
def test_layers_are_compared_at_one_pace(since: int) -> None:
    """An engine of one layer that takes 4 ms, and one of 3 ms, on a machine that gets slower at some run."""
    runs = 0

    def turn(milliseconds: float) -> Turn:
        nonlocal runs
        taken = []
        for _ in range(5):
            runs += 1
            taken.append(milliseconds * (1.7 if runs >= since else 1.0))
        layer = Layer(name="c1", kind="Convolution", milliseconds=taken[-1])
        return Turn(milliseconds=tuple(taken[1:]), layers=(layer,))

    def engine(milliseconds: float) -> AbstractContextManager[float]:
        return nullcontext(milliseconds)

    taken = alternate([partial(engine, 4.0), partial(engine, 3.0)], turn, PLANNING)
    first, second = timed(taken, ["c1"])
    assert second.milliseconds / first.milliseconds == pytest.approx(0.75, rel=0.05)
    assert second.node_ms["c1"] / first.node_ms["c1"] == pytest.approx(0.75, rel=0.05)


def test_a_target_that_is_not_here_is_not_timed() -> None:
    assert not evaluator("trt-int8@orin").times
