"""A limit on what the images of each tag lose."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.core.recipe import Budget
from edgeseg.errors import InputError
from edgeseg.evaluation import verify as subject
from edgeseg.evaluation.verification import Drop, Slice, slice_verdicts
from edgeseg.evaluation.verify import verify

GREEN_WEAK = (0.0, 0.9, 0.0)
"""Bias of an engine that takes everything for green."""


@pytest.fixture
def tags(tmp_path):
    path = tmp_path / "tags.csv"
    path.write_text("image,light,camera\na,night,1\nb,day,1\nc,night,2\n")
    return path


@pytest.mark.parametrize("target", ["ort-fp32", "openvino-fp32"])
def test_one_slice_above_the_limit_fails_and_is_named(make_bundle, colors, tags, target):
    bundle = make_bundle(bias=GREEN_WEAK, target=target)
    lost = {tag: one.drop.value for tag, one in verify(bundle, dataset=colors, tags=tags).slices.items()}
    worst, second = sorted(lost, key=lost.get, reverse=True)[:2]
    assert lost[worst] > lost[second] > 0
    between = (lost[worst] + lost[second]) / 2
    found = verify(bundle, dataset=colors, tags=tags, budget=Budget(any_slice=between)).verdict
    assert found.status == "fail" and found.exit_code == 1
    assert found.reasons[0].startswith(f"mIoU of {worst} drops {lost[worst]:.2f} points (95% interval ")
    assert found.reasons[0].partition(", the budget is ")[2].startswith(f"{between:g}")
    told = [reason for reason in found.reasons if reason.startswith("mIoU of ")]
    assert len(told) == len(lost), "each of them is told"
    assert not any(reason.startswith("worst slice") for reason in found.reasons)


def test_slices_within_the_limit_pass(make_bundle, colors, tags):
    found = verify(make_bundle(), dataset=colors, tags=tags, budget=Budget(any_slice=0.0))
    assert found.verdict.status == "pass" and found.budget.any_slice == 0.0
    within = verify(make_bundle("b", bias=GREEN_WEAK), dataset=colors, tags=tags, budget=Budget(any_slice=99))
    assert within.verdict.status == "pass"


def test_a_slice_without_a_labelled_pixel_is_unjudged(make_bundle, colors, tags):
    class Void(type(colors)):
        def truth(self, identity):
            label = super().truth(identity)
            return np.full_like(label, 255) if identity == "b" else label

    found = verify(make_bundle(), dataset=Void(), tags=tags, budget=Budget(any_slice=1.0)).verdict
    assert found.status == "unjudged" and found.exit_code == 4
    assert (
        "mIoU of light=day: the budget limits its drop to 1 points, but nothing in its frames is labelled"
        in found.reasons
    )


def test_an_engine_that_did_not_run_is_unjudged(make_bundle, colors, tags):
    later = verify(make_bundle(kind="deferred"), dataset=colors, tags=tags, budget=Budget(any_slice=1.0))
    assert later.verdict.status == "unjudged"
    assert any(r.startswith("mIoU of any tag: ") and "did not run" in r for r in later.verdict.reasons)
    null = make_bundle("null", target="null-fp32")
    assert verify(null, dataset=colors, tags=tags, budget=Budget(any_slice=99.0)).verdict.exit_code == 4


def test_an_interval_that_crosses_the_limit_and_one_that_is_missing_are_said():
    drops = {"a": Drop(value=0.5, low=0.1, high=1.4), "b": Drop(value=0.7, low=None, high=None)}
    slices = {tag: Slice(frames=2, value=0.5, fp32=0.5, drop=drop) for tag, drop in drops.items()}
    b, a = slice_verdicts("mIoU", slices, Budget(any_slice=1.0))
    assert a.status == b.status == "pass"
    assert "the interval crosses the limit" in a.reasons[0] and "a single frame" in b.reasons[0]
    assert slice_verdicts("mIoU", slices, Budget()) == ()


def test_a_limit_without_tags_is_refused_before_any_work(make_bundle, colors, monkeypatch):
    bundle = make_bundle()
    monkeypatch.setattr(subject, "session_on", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(InputError, match=r"--max-drop-any-slice was given without(.|\n)*--tags FILE\.csv"):
        verify(bundle, dataset=colors, budget=Budget(any_slice=1.0))
