"""The calibration error of an engine and of its reference, worked out by hand, in real engines."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgeseg.core.documents import encode, read_json
from edgeseg.core.recipe import Budget
from edgeseg.errors import InputError
from edgeseg.evaluation import verify as subject
from edgeseg.evaluation.verify import Verification, verify
from edgeseg.runtime.session import Session

RED, PIXELS = 3 * 127, 3 * 383
"""Of the three frames: labelled red, and labelled at all."""
COLOUR = 200 / 255
"""Score of the colour that a pixel has; the others have 0."""
GREEN_LOST = (1.0, 0.0, 0.0)


def softmax(own: float, *others: float) -> float:
    return math.exp(own) / sum(map(math.exp, (own, *others)))


SURE = softmax(COLOUR, 0.0, 0.0)
"""Of the network, on every pixel; all of them are right."""
ON_RED, ELSEWHERE = softmax(1 + COLOUR, 0.0, 0.0), softmax(1.0, COLOUR, 0.0)
"""Of an engine that takes everything for red: right on red alone."""
LOST = 100 * (RED * (1 - ON_RED) + (PIXELS - RED) * ELSEWHERE) / PIXELS


@pytest.mark.parametrize("target", ["ort-fp32", "openvino-fp32"])
def test_an_engine_and_its_reference_are_told(make_bundle, colors, target):
    bundle = make_bundle(bias=GREEN_LOST, target=target, confidence=True)
    found = verify(bundle, dataset=colors)
    error = found.calibration_error
    assert error.reference == pytest.approx(100 * (1 - SURE), abs=1e-3)
    assert error.engine == pytest.approx(LOST, abs=1e-3)
    assert error.rise.value == pytest.approx(LOST - 100 * (1 - SURE), abs=1e-3)
    ends = error.rise.low, error.rise.high
    assert ends == pytest.approx((error.rise.value,) * 2, abs=1e-3), "the frames show the same share of red"
    red = found.class_calibration_error["red"]
    assert red.engine == pytest.approx(LOST, abs=1e-3), "everything is taken for it"
    assert red.reference == pytest.approx(100 * (1 - SURE), abs=1e-3)
    green = found.class_calibration_error["green"]
    assert green.engine is None and green.rise is None and green.reference == pytest.approx(red.reference)


def test_the_interval_of_a_rise_that_differs_between_frames_holds_it(make_bundle, colors):
    rise = verify(make_bundle(bias=(0.0, 0.9, 0.0), confidence=True), dataset=colors).calibration_error.rise
    assert rise.low < rise.value < rise.high


def test_a_faithful_engine_rises_by_nothing(make_bundle, colors):
    found = verify(make_bundle(confidence=True, batch=2), dataset=colors)
    assert found.calibration_error.engine == found.calibration_error.reference
    rise = found.calibration_error.rise
    assert (rise.value, rise.low, rise.high) == (0.0, 0.0, 0.0)
    assert set(found.class_calibration_error) == {"red", "green", "blue"}


def test_the_limit_is_on_the_engine_itself(make_bundle, colors):
    bundle = make_bundle(bias=GREEN_LOST, confidence=True)
    failed = verify(bundle, dataset=colors, budget=Budget(max_calibration_error=LOST - 0.01))
    assert failed.verdict.status == "fail" and failed.verdict.exit_code == 1
    said = f"calibration error {LOST:.2f} points ({100 * (1 - SURE):.2f} in the reference), the budget is "
    assert any(reason.startswith(said) for reason in failed.verdict.reasons)
    passed = verify(bundle, dataset=colors, budget=Budget(max_calibration_error=LOST + 0.01))
    assert passed.verdict.status == "pass"


def test_nothing_that_tells_it_is_unjudged(make_bundle, colors):
    class Void(type(colors)):
        def truth(self, identity):
            return np.full_like(super().truth(identity), 255)

    budget = Budget(max_calibration_error=50.0)
    found = verify(make_bundle(confidence=True), dataset=Void(), budget=budget)
    assert found.calibration_error is None and found.class_calibration_error == {}
    assert found.verdict.status == "unjudged" and "no labelled pixel tells it" in found.verdict.reasons[0]
    later = verify(make_bundle("later", kind="deferred"), dataset=colors, budget=budget)
    assert later.verdict.status == "unjudged"
    assert any("limits it to 50 points, but the engine did not run" in r for r in later.verdict.reasons)
    null = verify(make_bundle("null", target="null-fp32", confidence=True), dataset=colors, budget=budget)
    assert null.verdict.status == "unjudged"


@pytest.mark.parametrize("value", [float("nan"), 7.0])
def test_a_confidence_that_is_no_probability_is_said_and_never_passes(
    make_bundle, colors, monkeypatch, value
):
    real = Session.outputs

    def broken(self, frames):
        found = real(self, frames)
        found["confidence"][0, 0, 0] = value
        return found

    bundle = make_bundle(confidence=True)
    monkeypatch.setattr(Session, "outputs", broken)
    found = verify(bundle, dataset=colors, budget=Budget(max_calibration_error=99.0))
    assert found.calibration_error is None and found.value == 1.0
    note = "no calibration error of the engine: its confidence holds values that are no probabilities"
    assert note in found.notes and found.verdict.status == "unjudged"


def test_an_engine_without_confidence_has_no_error_and_a_limit_is_refused_before_any_work(
    make_bundle, colors, monkeypatch
):
    plain = make_bundle()
    assert verify(plain, dataset=colors).calibration_error is None
    monkeypatch.setattr(subject, "session_on", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(InputError, match=r"returns no confidence(.|\n)*--confidence"):
        verify(plain, dataset=colors, budget=Budget(max_calibration_error=5.0))


def test_without_labels_there_is_none_and_a_limit_is_refused(make_bundle, colors, tmp_path):
    bundle = make_bundle(confidence=True)
    Image.fromarray(colors.split("val").image(0)).save(tmp_path / "a.png")
    found = verify(bundle, images=tmp_path)
    assert found.calibration_error is None and found.agreement.equal == 1.0
    with pytest.raises(InputError, match=r"--max-calibration-error was given, and .* has no labels"):
        verify(bundle, images=tmp_path, budget=Budget(max_calibration_error=5.0))


def test_labels_of_one_class_per_pixel_do_not_judge_the_confidence_of_bit_masks(make_bundle, colors):
    bundle = make_bundle(task="multilabel", confidence=True)
    with pytest.raises(InputError, match="is a multilabel network, the labels of 'colors' are semantic"):
        verify(bundle, dataset=colors, budget=Budget(max_calibration_error=5.0))


def test_another_bundle_as_reference(make_bundle, colors):
    good, bad = make_bundle("good", confidence=True), make_bundle("bad", bias=GREEN_LOST, confidence=True)
    error = verify(good, dataset=colors, reference=bad).calibration_error
    assert error.reference == pytest.approx(LOST, abs=1e-3) and error.rise.value > 0
    silent = verify(good, dataset=colors, reference=make_bundle("silent"))
    assert silent.calibration_error.engine == pytest.approx(error.engine)
    assert silent.calibration_error.reference is None and silent.calibration_error.rise is None
    assert "no calibration error of the reference: it returns no confidence" in silent.notes
    limited = verify(good, dataset=colors, reference=bad, budget=Budget(max_calibration_error=60.0))
    assert limited.verdict.status == "pass"


def test_the_confidence_of_a_resized_frame_lies_on_the_pixels_of_its_class_map(make_bundle, colors):
    found = verify(make_bundle(confidence=True), dataset=replace(colors, size=(32, 48)))
    assert found.calibration_error.engine == pytest.approx(100 * (1 - SURE), abs=3)


def test_frames_of_few_videos_are_marked(make_bundle, colors):
    class Videos(type(colors)):
        def split(self, name):
            return replace(super().split(name), sequence=lambda i: "one" if i < "c" else "two")

    found = verify(make_bundle(bias=GREEN_LOST, confidence=True), dataset=Videos())
    assert found.calibration_error.rise.caveat == "only 2 sequences: rough"


def test_it_survives_a_file_and_is_in_the_table(make_bundle, colors, tmp_path, capsys):
    from edgeseg.cli.findings import verified

    found = verify(make_bundle(bias=GREEN_LOST, confidence=True), dataset=colors)
    (tmp_path / "verify.json").write_bytes(encode(found))
    assert read_json(tmp_path / "verify.json", Verification) == found
    verified(found, json=False)
    told = capsys.readouterr().out
    assert "calibration error of the confidence" in told
    row = next(line.split() for line in told.splitlines() if line.strip().startswith("all"))
    assert row[1:3] == [f"{LOST:.2f}", f"{100 * (1 - SURE):.2f}"]
    verified(msgspec.structs.replace(found, calibration_error=None), json=False)
    assert "calibration error" not in capsys.readouterr().out
