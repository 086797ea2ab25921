"""The decision of the gate; the way there, with real engines, is in tests/steps/test_quantize.py."""

from __future__ import annotations

import pytest

from edgeseg.core.bundle import Bundle
from edgeseg.core.measurement import PairedRatio
from edgeseg.device import gate


def ratio(low: float, high: float) -> PairedRatio:
    return PairedRatio(
        a="int8", b="float", clock="device", openings=6, blocks=24, ratio=(low + high) / 2, low=low, high=high
    )


@pytest.mark.parametrize(
    ("low", "high", "wins"),
    [(0.5, 0.6, True), (0.8, 0.999, True), (0.9, 1.0, False), (0.5, 1.2, False), (1.1, 1.3, False)],
    ids=["faster", "barely", "touches", "unsure", "slower"],
)
def test_int8_wins_only_for_certain(low, high, wins):
    assert gate.int8_wins(ratio(low, high)) is wins


def test_the_note_tells_the_ratio_and_what_ships():
    (won,), (lost,) = (
        gate.result(ratio(*ends), "trt-fp16@orin").sentences() for ends in ((0.5, 0.7), (0.9, 1.1))
    )
    assert won == (
        "int8 against float: 0.60 of the time of trt-fp16@orin on this device "
        "(95% interval 0.50 to 0.70); int8 ships"
    )
    assert "1.00 of the time" in lost and "trt-fp16@orin ships" in lost


def test_a_bundle_without_a_rival_is_not_gated(make_bundle):
    assert gate.float_fallback(Bundle.open(make_bundle(kind="deferred"))) is None
