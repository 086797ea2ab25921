"""Verification of a network of instances whose finds one can predict."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from spots import SIZE, Spots, spots_bundle, spots_spec

from edgeseg.cli.findings import verified
from edgeseg.core.recipe import Budget
from edgeseg.datasets.drawing import difference
from edgeseg.errors import InputError
from edgeseg.evaluation.flicker import FlickerCounts
from edgeseg.evaluation.scoring import Comparison
from edgeseg.evaluation.verify import verify, verify_call

NO_GREEN = {"bias": (0.0, -1.0, 0.0)}
FLOORS = {"red": 100.0, "green": 100.0}


def test_a_faithful_engine_passes(tmp_path):
    budget = Budget(max_drop=0.0, any_class=0.0, min_recall=FLOORS, min_precision=FLOORS)
    result = verify(spots_bundle(tmp_path), dataset=Spots(), budget=budget)
    assert result.verdict.status == "pass" and result.metric == "mask AP"
    assert result.engine == result.fp32 and result.value > 0.8
    assert (result.drop.value, result.drop.low, result.drop.high) == (0.0, 0.0, 0.0)
    assert result.engine.means["AP50"] == 1.0 and result.engine.means["AP large"] is None
    assert set(result.engine.means) == {"AP50", "AP75", "AP small", "AP medium", "AP large", "box AP"}
    assert result.engine.tables["recall"] == dict.fromkeys(("red", "green", "blue"), 1.0)
    assert (result.agreement.unit, result.agreement.equal) == ("thing", 1.0)
    assert result.agreement.value == pytest.approx(1.0)
    assert result.flicker is None and result.calibration_error is None


def test_a_damaged_engine_fails(tmp_path):
    budget = Budget(max_drop=1.0, max_class_drop={"red": 0.0}, min_recall={"green": 50.0})
    result = verify(spots_bundle(tmp_path, **NO_GREEN), dataset=Spots(), budget=budget)
    assert result.verdict.status == "fail"
    reasons = " ".join(result.verdict.reasons)
    assert "mask AP drops" in reasons and "recall of green is 0.00, the budget asks for 50" in reasons
    assert result.class_drop["red"].value == 0.0 and result.class_drop["green"].value > 80
    assert result.drop.value == pytest.approx(result.class_drop["green"].value / 3)
    assert result.drop.low < result.drop.value < result.drop.high
    assert result.agreement.equal == pytest.approx(2 / 3)


def test_masks_that_are_shifted_cost_ap_and_no_recall(tmp_path):
    result = verify(spots_bundle(tmp_path, shift=4.0), dataset=Spots())
    assert result.engine.means["AP50"] == 1.0 and result.drop.value > 20
    assert result.agreement.equal == 1.0, "the same things" and result.agreement.value < 0.8


def test_a_class_that_no_label_shows_is_named(tmp_path):
    result = verify(spots_bundle(tmp_path), dataset=Spots(blue=False))
    assert result.engine.classes["blue"] is None and "blue" not in result.class_drop
    assert "no thing of these frames is labelled blue: out of every mean and drop" in result.notes


def test_a_class_of_the_budget_that_no_label_shows_is_unjudged(tmp_path):
    budget = Budget(max_class_drop={"blue": 1.0})
    assert (
        verify(spots_bundle(tmp_path), dataset=Spots(blue=False), budget=budget).verdict.status == "unjudged"
    )


def test_frames_without_a_thing_are_not_among_the_worst(tmp_path):
    result = verify(spots_bundle(tmp_path), dataset=Spots(), worst=10)
    assert len(result.worst) == 8 and not {"4", "9"} & {frame.id for frame in result.worst}


def test_worst_frames_are_drawn(tmp_path):
    """Frame, label, engine, and red where one of them has a thing alone."""
    result = verify(spots_bundle(tmp_path, **NO_GREEN), dataset=Spots(), worst=1, output=tmp_path / "out")
    picture = np.asarray(Image.open(result.worst[0].picture))
    height, width = SIZE
    panels = picture[:height].reshape(height, 4, width, 3).swapaxes(0, 1)
    truth = Spots().truth(result.worst[0].frame)
    lost = truth.masks[truth.labels == 1][0] & ~truth.masks[truth.labels != 1].any(axis=0)
    red = (panels[3] == (230, 30, 60)).all(axis=-1)
    assert red[lost].mean() > 0.9 and red[~truth.masks.any(axis=0)].mean() < 0.05
    assert panels[1][lost].any(axis=-1).mean() > 0.9


def test_without_labels_things_are_compared_with_those_of_fp32(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(5):
        Image.fromarray(Spots().image(index)).save(folder / f"{index}.png")
    result = verify(spots_bundle(tmp_path, **NO_GREEN), images=folder)
    assert result.agreement.equal == pytest.approx(2 / 3)
    assert result.worst[0].score == pytest.approx(2 / 3) and result.worst[-1].score == 1.0
    assert verify(spots_bundle(tmp_path, "same"), images=folder).agreement.equal == 1.0


def test_tags_and_tables_are_printed(tmp_path, capsys):
    tags = tmp_path / "tags.csv"
    tags.write_text("image,light\n0,day\n1,day\n4,night\n9,night\n")
    result = verify(spots_bundle(tmp_path), dataset=Spots(), tags=tags, budget=Budget(any_slice=1.0))
    assert result.slices["light=day"].value > 0.8 and result.slices["light=night"].value is None
    assert result.verdict.status == "unjudged"
    verified(result, json=False)
    printed = capsys.readouterr().out
    assert "agreement: 100.00% of things, mask AP 100.00" in printed
    assert "nothing in its frames is labelled" in printed
    assert "AP small" in printed and "None" not in printed


def test_a_crowd_is_black_where_two_results_differ():
    """It need not be found."""
    truth, shown = Spots().truth(0), np.full((*SIZE, 3), 90, np.uint8)
    crowd = truth._replace(crowd=np.array([True, False, False]))
    drawn = difference(shown, crowd, truth.where(np.zeros(0, int)), spots_spec())
    assert (drawn[truth.masks[0]] == 0).all()
    missed = truth.masks[1] & ~truth.masks[0]
    assert (drawn[missed] == (230, 30, 60)).all()


def test_a_limit_on_a_confidence_of_pixels_is_refused(tmp_path):
    with pytest.raises(
        InputError, match="is a instance network\nexpected: a network that decides for one class"
    ):
        verify(spots_bundle(tmp_path), dataset=Spots(), budget=Budget(max_calibration_error=5.0))


def test_a_function_is_scored(tmp_path):
    spots = Spots()
    answers = iter([spots.truth(index) for index in range(spots.count)])
    assert verify_call(
        lambda frames: [next(answers)], spots_spec(), SIZE, spots.split("val")
    ) == pytest.approx(1.0)


def test_things_do_not_flicker_by_pixels():
    counts, spots = FlickerCounts(spots_spec()), Spots()
    for _ in range(3):
        counts.add("a", spots.image(0), spots.truth(0), spots.truth(0))
    assert counts.result() is None


def test_frames_in_which_neither_finds_anything_agree():
    comparison, none = Comparison(spots_spec()), Spots().truth(4)
    comparison.add(none, none)
    found = comparison.agreement()
    assert (found.equal, found.value, comparison.frame_scores) == (1.0, None, [1.0])
    comparison.add(Spots().truth(0), none)
    assert (comparison.agreement().equal, comparison.frame_scores) == (0.0, [1.0, 0.0])
