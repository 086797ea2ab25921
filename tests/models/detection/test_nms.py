"""Cluster-NMS against torchvision's greedy NMS."""

from __future__ import annotations

import pytest
import torch
from random_boxes import KINDS, boxes_of
from torchvision.ops import nms as greedy

from edgeseg.models.detection.nms import float32_below, iou, keep
from edgeseg.models.detection.static import ROUNDS

CASES, EACH = 1430, 60
NEEDED = 10
"""Rounds that settle all cases, the last of them only to see that nothing changes."""


def cases_of(kind: str, cases: int, each: int):
    """Boxes and scores (many equal), sorted by falling score."""
    torch.manual_seed(KINDS.index(kind))
    scores, _ = (torch.rand(cases, each) * 20).round().div(20).sort(dim=1, descending=True, stable=True)
    return boxes_of(kind, cases, each), scores


@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_cases_equal_greedy_nms(kind):
    """7 kinds of 1,430 cases, a third of them for each threshold."""
    boxes, scores = cases_of(kind, CASES, EACH)
    everyone = torch.ones(CASES, EACH, dtype=torch.bool)
    for first, threshold in enumerate((0.3, 0.5, 0.7)):
        third = slice(first, None, 3)
        kept, unsettled = keep(boxes[third], everyone[third], threshold, rounds=NEEDED)
        assert not unsettled.any() and unsettled.dtype == torch.int32
        for one, case, score in zip(kept, boxes[third], scores[third]):
            wanted = torch.zeros(EACH, dtype=torch.bool)
            wanted[greedy(case, score, threshold)] = True
            assert one.equal(wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_groups_do_not_meet_and_what_is_not_valid_suppresses_nothing(kind):
    boxes, scores = cases_of(kind, 50, EACH)
    groups, valid = torch.randint(0, 3, (50, EACH)), torch.rand(50, EACH) < 0.8
    kept, _ = keep(boxes, valid, 0.5, rounds=ROUNDS, groups=groups)
    for case in range(50):
        wanted = torch.zeros(EACH, dtype=torch.bool)
        for group in range(3):
            rows = (valid[case] & (groups[case] == group)).nonzero()[:, 0]
            wanted[rows[greedy(boxes[case][rows], scores[case][rows], 0.5)]] = True
        assert kept[case].equal(wanted)


def test_nine_rounds_are_too_few():
    boxes, _ = cases_of("crowded", CASES, EACH)
    everyone = torch.ones(CASES, EACH, dtype=torch.bool)
    assert keep(boxes, everyone, 0.7, rounds=NEEDED - 1)[1].any()
    assert not keep(boxes, everyone, 0.7, rounds=NEEDED)[1].any()


def test_too_few_rounds_are_counted():
    """Each box suppresses the next one only: every second stays, and a round settles one more."""
    x = torch.arange(12.0) * 4
    boxes = torch.stack((x, torch.zeros(12), x + 10, torch.full((12,), 10.0)), 1)[None]
    valid = torch.ones(1, 12, dtype=torch.bool)
    kept, unsettled = keep(boxes, valid, 0.3, rounds=12)
    assert kept[0].tolist() == [True, False] * 6 and unsettled.tolist() == [0]
    for rounds in range(2, 11):
        kept, unsettled = keep(boxes, valid, 0.3, rounds=rounds)
        assert unsettled[0] > 0
    assert keep(boxes, valid, 0.3, rounds=1)[1][0] == 11


def test_a_box_without_area_overlaps_nothing():
    assert iou(torch.tensor([[[5.0, 5, 5, 5], [5, 5, 5, 5], [0, 0, 9, 9]]]))[0].sum() == 1


def test_the_threshold_is_that_of_a_double():
    """0.3 in float32 is above 0.3: torchvision takes a box of that overlap away."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 3, 10]])
    kept, _ = keep(boxes[None], torch.ones(1, 2, dtype=torch.bool), 0.3, rounds=2)
    assert kept[0].nonzero()[:, 0].equal(greedy(boxes, torch.tensor([0.9, 0.8]), 0.3))
    assert float32_below(0.5) == 0.5 and float32_below(0.3) < 0.3 and float32_below(0.7) < 0.7
