"""COCO's matching, with scenes worked out by hand."""

from __future__ import annotations

import numpy as np

from edgeseg.metrics import Instances, matches
from edgeseg.metrics.matching import SIZES


def boxes(*boxes, scores=None, labels=None, crowd=None, area=None):
    count = len(boxes)
    return Instances(
        np.array(boxes, np.float32).reshape(count, 4),
        np.array([0] * count if labels is None else labels, np.int32),
        np.array([1.0] * count if scores is None else scores, np.float32),
        crowd=None if crowd is None else np.array(crowd),
        area=area,
    )


def of(truth, found, classes=1):
    return matches(truth, found, classes, masks=False)


def test_the_higher_score_is_first_and_a_thing_is_found_once():
    truth = boxes((0, 0, 10, 10))
    kept = of(truth, boxes((0, 0, 10, 10), (0, 0, 10, 8), scores=(0.3, 0.9)))
    assert kept.scores.tolist() == [np.float32(0.9), np.float32(0.3)]
    assert kept.matched[0, :7].all(axis=0).tolist() == [True, False]  # 0.8 is enough up to 0.80
    assert kept.matched[0, 7:].any(axis=0).tolist() == [False, True]
    assert not kept.ignored[0].any()


def test_each_takes_what_it_overlaps_most():
    truth = boxes((0, 0, 10, 10), (0, 0, 10, 12))
    kept = of(truth, boxes((0, 0, 10, 12), (0, 0, 10, 10), scores=(0.9, 0.8)))
    assert kept.matched[0].all()


def test_a_crowd_hides_any_number_and_is_not_to_be_found():
    truth = boxes((0, 0, 10, 10), (0, 0, 100, 100), crowd=(False, True))
    kept = of(truth, boxes((0, 0, 10, 10), (20, 20, 30, 30), (40, 40, 50, 50), (200, 0, 210, 10)))
    assert kept.truths[0].tolist() == [1]
    assert kept.matched[0].all(axis=0).tolist() == [True, True, True, False]
    assert kept.ignored[0].all(axis=0).tolist() == [False, True, True, False]


def test_other_sizes_are_neither_right_nor_wrong():
    truth = boxes((0, 0, 10, 10), (0, 0, 200, 200))
    kept = of(truth, boxes((0, 0, 10, 10), (0, 0, 200, 200), (300, 0, 340, 40)))
    assert dict(zip(SIZES, kept.truths[:, 0].tolist(), strict=True)) == {
        "all": 2,
        "small": 1,
        "medium": 0,
        "large": 1,
    }
    ignored = [[False, False, False], [False, True, True], [True, True, False], [True, False, True]]
    assert kept.ignored.all(axis=1).tolist() == ignored


def test_the_area_of_the_label_tells_its_size():
    kept = of(boxes((0, 0, 100, 100), area=np.array([1000.0])), boxes((0, 0, 100, 100)))
    assert kept.truths[:, 0].tolist() == [1, 1, 0, 0]


def test_an_area_on_the_border_is_of_both_sizes():
    assert of(boxes((0, 0, 32, 32)), boxes()).truths[:, 0].tolist() == [1, 1, 1, 0]


def test_the_hundred_highest_of_each_class_count():
    found = [(0, 0, 10, 10)] * 250
    kept = of(boxes(), boxes(*found, scores=np.arange(250), labels=[0] * 130 + [1] * 120), 2)
    assert np.bincount(kept.labels).tolist() == [100, 100]
    assert kept.scores[:100].tolist() == list(range(129, 29, -1))


def test_classes_do_not_meet():
    kept = of(boxes((0, 0, 9, 9), labels=[1]), boxes((0, 0, 9, 9), labels=[0]), 2)
    assert not kept.matched.any()
    assert kept.truths[0].tolist() == [0, 1]
