"""Counts that grow frame by frame: agreement of bit masks, identity of samples, absent classes."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgeseg.core.model_spec import ClassInfo, ModelSpec, Source
from edgeseg.errors import InputError
from edgeseg.evaluation.labels import labelled_split
from edgeseg.evaluation.scoring import Comparison, Tally

CLASSES = (ClassInfo("road", (1, 2, 3)), ClassInfo("car", (4, 5, 6)))
BITS = ModelSpec(
    name="net",
    source=Source(kind="onnx", ref="net"),
    input_size=(8, 8),
    classes=CLASSES,
    task="multilabel",
)


def bits(*values: int) -> np.ndarray:
    """uint8 [1,W,1]."""
    return np.array([values], np.uint8)[..., None]


def named(*names: str) -> ModelSpec:
    classes = tuple(ClassInfo(name, (index, 0, 0)) for index, name in enumerate(names))
    return msgspec.structs.replace(BITS, task="semantic", classes=classes)


def test_bit_masks_agree_per_bit_over_all_frames():
    comparison = Comparison(BITS)
    comparison.add(bits(0, 1, 2, 3), bits(0, 1, 2, 1))
    comparison.add(bits(3, 3, 3, 3), bits(3, 3, 3, 3))
    found = comparison.agreement()
    assert (found.unit, found.equal) == ("pixel", 7 / 8)
    # road: 6 of 6 pixels; car: 5 of 6, so Dice 2 * 5 / 11.
    assert (found.metric, found.value) == ("mean Dice", pytest.approx((1 + 10 / 11) / 2))
    assert comparison.frame_scores == [0.75, 1.0]


def test_labels_of_one_class_per_pixel_do_not_score_bit_masks(colors):
    with pytest.raises(InputError, match=r"multilabel network, the labels of .* are semantic"):
        labelled_split(colors, "val", 0, BITS)


def test_scores_are_of_the_whole_dataset_and_absent_classes_have_none():
    tally = Tally(named("a", "b", "absent"), ignore_index=255)
    tally.add(np.array([[0, 0, 0, 255]], np.uint8), np.array([[0, 0, 1, 1]], np.uint8))
    tally.add(np.array([[1, 1, 1, 1]], np.uint8), np.array([[1, 1, 1, 1]], np.uint8))
    scores = tally.scores()
    assert scores.classes == {"a": pytest.approx(2 / 3), "b": pytest.approx(4 / 5), "absent": None}
    assert scores.value == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert scores.means["pixel accuracy"] == pytest.approx(6 / 7)
    assert scores.tables["Dice"]["a"] == pytest.approx(0.8)
    assert tally.frame_scores() == [pytest.approx(1 / 3), 1.0]


def test_a_class_that_only_the_engine_shows_is_no_term_of_the_agreement():
    three = msgspec.structs.replace(BITS, task="semantic", classes=(*CLASSES, ClassInfo("void", (7, 8, 9))))
    comparison = Comparison(three)
    comparison.add(np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 0, 1, 2]], np.uint8))
    assert comparison.agreement().value == pytest.approx((1 + 1 / 2) / 2)
    both = Comparison(BITS)
    both.add(bits(1, 1, 1, 1), bits(1, 1, 1, 3))
    assert both.agreement().value == 1.0


def test_the_scores_of_a_frame_count_what_is_labelled_in_any_frame():
    tally = Tally(named("a", "b", "never"), ignore_index=None)
    tally.add(np.array([[0, 0, 0, 0]], np.uint8), np.array([[0, 0, 1, 2]], np.uint8))
    tally.add(np.array([[1, 1, 1, 1]], np.uint8), np.array([[1, 1, 1, 1]], np.uint8))
    assert tally.frame_scores() == [pytest.approx(1 / 4), 1.0]
    assert "labelled never" in tally.notes()[0]


def test_a_dataset_without_labelled_pixels_has_no_drop():
    tally = Tally(named("a", "b"), ignore_index=255)
    tally.add(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8))
    assert tally.drops(tally) == (None, {})
    assert tally.scores().value is None
