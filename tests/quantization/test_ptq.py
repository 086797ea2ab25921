from __future__ import annotations

import numpy as np
import pytest
from patterns import Net, chain, depthwise_transposed, feeds, residual

from edgeseg.errors import TargetError
from edgeseg.graph.reference import run, session
from edgeseg.quantization.placement.groups import float_plan, merge
from edgeseg.quantization.ptq import PtqSettings, apply, calibrate, quantize
from edgeseg.quantization.ranges.thresholds import RangeMethod
from edgeseg.quantization.schemes import scheme_for, scheme_named

X86 = scheme_named("openvino")


def error(model, floating) -> float:  # type: ignore[no-untyped-def]
    image = feeds(1, seed=9)[0]
    a, b = (next(iter(run(session(m), image).values())) for m in (model, floating))
    return float(np.abs(a - b).mean())


def test_groups_are_the_weighted_nodes_and_a_plan_keeps_some_float() -> None:
    calibrated = calibrate(depthwise_transposed(), feeds(2), X86)
    assert [(g.name, g.operator) for g in calibrated.groups] == [
        ("c1", "Conv"),
        ("dw", "depthwise Conv"),
        ("t", "ConvTranspose"),
        ("c2", "Conv"),
    ]
    assert calibrated.groups[1].macs == 8 * 9 * 12 * 16
    result = apply(calibrated, {"dw": "float"})
    assert not any(n.name == "dw.w/dequantize" for n in result.model.graph.node)


def test_plans_are_tried_without_running_images_again() -> None:
    reads = 0

    class Counted:
        def __iter__(self):  # type: ignore[no-untyped-def]
            nonlocal reads
            reads += 1
            return iter(feeds(2))

    calibrated = calibrate(residual(), Counted(), X86, PtqSettings(correct_bias=False))
    for group in calibrated.groups:
        apply(calibrated, float_plan([group]))
    assert reads == 1


def test_all_in_float_is_the_float_network() -> None:
    calibrated = calibrate(residual(), feeds(2), X86)
    assert error(apply(calibrated, float_plan(calibrated.groups)).model, residual()) == 0


def test_fewer_bits_and_scales_lose_more() -> None:
    errors = [
        error(quantize(depthwise_transposed(), feeds(), X86, settings).model, depthwise_transposed())
        for settings in (PtqSettings(), PtqSettings(per_channel=False), PtqSettings(weight_bits=4))
    ]
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize(
    ("ranges", "limit"),
    [("min-max", 0.05), ("moving-average", 0.05), ("percentile", 0.05), ("mse", 0.05), ("entropy", 0.2)],
)
def test_every_switch_gives_a_graph_that_runs(ranges: RangeMethod, limit: float) -> None:
    """Entropy compares distributions: with one value per bin (4 of these images) it clips at random."""
    settings = PtqSettings(ranges=ranges, weights="mse", equalize=True, correct_bias=True)
    assert error(quantize(residual(), feeds(32), X86, settings).model, residual()) < limit


def test_a_layer_that_saturates_is_named() -> None:
    result = quantize(chain(), feeds(), X86, PtqSettings(ranges="percentile", percentile=90.0))
    assert any("'act' saturates" in note and "percentile" in note for note in result.notes)
    assert quantize(chain(), feeds(), X86).notes == ()


def test_a_dead_layer_is_named() -> None:
    net = Net()
    a = net.op("Relu", "act", net.conv("c1", "image", 3, 8))
    net.constants["c1.b"] -= 1000
    result = quantize(net.model(net.conv("c2", a, 8, 4)), feeds(2), X86)
    assert any("'act' is 0 everywhere" in note for note in result.notes)


def test_merged_groups_switch_together() -> None:
    calibrated = calibrate(residual(), feeds(2), X86)
    block = merge(calibrated.groups[1:3])
    assert block.nodes == ("c2", "c3") and block.macs == sum(g.macs for g in calibrated.groups[1:3])
    stored = {t.name for t in apply(calibrated, float_plan([block])).model.graph.initializer}
    assert {"c2.w", "c3.w", "c1.w/int8"} <= stored


def test_schemes_by_engine() -> None:
    assert scheme_for("openvino").name == "openvino"
    assert scheme_for("rtx") is scheme_for("trt") is scheme_named("tensorrt")
    with pytest.raises(TargetError, match="'abacus'"):
        scheme_for("abacus")


@pytest.mark.parametrize("bias", [-1.0, 1e-9])
def test_openvino_opens_a_branch_that_is_dead_or_hardly_alive(bias: float) -> None:
    openvino = pytest.importorskip("openvino")
    net = Net()
    weight, shift = net.constant("w", np.zeros((8, 3, 3, 3))), net.constant("b", np.full(8, bias))
    branch = net.op("Relu", "branch", net.op("Conv", "c1", "image", weight, shift, pads=[1] * 4))
    quantized = quantize(net.model(net.conv("c2", branch, 8, 4)), feeds(1), X86).model
    core = openvino.Core()
    core.compile_model(core.read_model(quantized.SerializeToString()), "CPU")
