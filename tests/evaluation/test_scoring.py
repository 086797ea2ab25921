"""Counts that grow frame by frame: agreement of bit masks, identity of samples, absent classes."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgeseg.core.model_spec import ClassInfo, ModelSpec, Source
from edgeseg.errors import InputError
from edgeseg.evaluation.labels import labelled_split
from edgeseg.evaluation.scoring import Comparison, Tally, drops

CLASSES = (ClassInfo("road", (1, 2, 3)), ClassInfo("car", (4, 5, 6)))
BITS = ModelSpec(
    name="net",
    source=Source(kind="onnx", ref="net"),
    input_size=(8, 8),
    classes=CLASSES,
    task="multilabel",
)


def test_bit_masks_agree_per_bit_over_all_frames():
    comparison = Comparison(BITS)
    comparison.add(np.array([[0, 1, 2, 3]], np.uint8), np.array([[0, 1, 2, 1]], np.uint8))
    comparison.add(np.array([[3, 3, 3, 3]], np.uint8), np.array([[3, 3, 3, 3]], np.uint8))
    found = comparison.agreement()
    assert found.pixels == 7 / 8
    # road: 6 of 6 pixels; car: 5 of 6.
    assert found.miou == pytest.approx((1 + 5 / 6) / 2)
    assert comparison.frame_scores == [0.75, 1.0]


def test_labels_of_one_class_per_pixel_do_not_score_bit_masks(colors):
    with pytest.raises(InputError, match="multilabel network"):
        labelled_split(colors, "val", 0, BITS)


def test_scores_are_of_the_whole_dataset_and_absent_classes_have_none():
    tally = Tally(("a", "b", "absent"), ignore_index=255)
    tally.add(np.array([[0, 0, 0, 255]], np.uint8), np.array([[0, 0, 1, 1]], np.uint8))
    tally.add(np.array([[1, 1, 1, 1]], np.uint8), np.array([[1, 1, 1, 1]], np.uint8))
    scores = tally.scores()
    assert scores.class_iou == {"a": pytest.approx(2 / 3), "b": pytest.approx(4 / 5), "absent": None}
    assert scores.miou == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert scores.pixel_accuracy == pytest.approx(6 / 7)
    assert scores.class_dice["a"] == pytest.approx(0.8)
    assert tally.frame_scores() == [pytest.approx(1 / 3), 1.0]


def test_a_class_that_only_the_engine_shows_is_no_term_of_the_agreement():
    three = msgspec.structs.replace(BITS, task="semantic", classes=(*CLASSES, ClassInfo("void", (7, 8, 9))))
    comparison = Comparison(three)
    comparison.add(np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 0, 1, 2]], np.uint8))
    assert comparison.agreement().miou == pytest.approx((1 + 1 / 2) / 2)
    bits = Comparison(BITS)
    bits.add(np.array([[1, 1, 1, 1]], np.uint8), np.array([[1, 1, 1, 3]], np.uint8))
    assert bits.agreement().miou == 1.0


def test_the_scores_of_a_frame_count_what_is_labelled_in_any_frame():
    tally = Tally(("a", "b", "never"), ignore_index=None)
    tally.add(np.array([[0, 0, 0, 0]], np.uint8), np.array([[0, 0, 1, 2]], np.uint8))
    tally.add(np.array([[1, 1, 1, 1]], np.uint8), np.array([[1, 1, 1, 1]], np.uint8))
    assert tally.frame_scores() == [pytest.approx(1 / 4), 1.0]
    assert "labelled never" in tally.notes()[0]


def test_a_dataset_without_labelled_pixels_has_no_drop():
    tally = Tally(("a", "b"), ignore_index=255)
    tally.add(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8))
    assert drops(tally.matrices(), tally.matrices(), ("a", "b")) == (None, {})
    assert tally.scores().miou is None
