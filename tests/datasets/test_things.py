"""Things from masks, cut and resized."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.core.instances import Instances
from edgeseg.datasets.things import boxes_of, masks_of, part_of, resized, things_of, things_of_ids
from edgeseg.errors import DataError

ALL = slice(None)


def rectangles(*boxes, size=(12, 16)):
    masks = np.zeros((len(boxes), *size), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes):
        mask[y0:y1, x0:x1] = True
    return masks


def test_boxes_end_behind_the_last_pixel():
    boxes = [(0, 0, 16, 12), (3, 4, 4, 5), (2, 5, 9, 11)]
    assert boxes_of(rectangles(*boxes)).tolist() == [list(map(float, box)) for box in boxes]
    assert boxes_of(rectangles((0, 0, 0, 0))).tolist() == [[0, 0, 0, 0]]
    assert boxes_of(np.zeros((0, 3, 4), bool)).shape == (0, 4)


def test_a_map_of_numbers_becomes_a_thing_for_each():
    ids = np.zeros((4, 6), np.int32)
    ids[0, :2], ids[2:, 3:5] = 700, 3
    found = things_of_ids(ids, label=1)
    assert found.boxes.tolist() == [[3, 2, 5, 4], [0, 0, 2, 1]]
    assert found.labels.tolist() == [1, 1] and found.labels.dtype == np.int32
    assert found.scores.tolist() == [1, 1] and found.scores.dtype == np.float32
    assert np.array_equal(masks_of(found)[1], ids == 700)
    none = things_of_ids(np.zeros((4, 6), np.uint8))
    assert masks_of(none).shape == (0, 4, 6) and none.boxes.shape == (0, 4)


def test_things_outside_a_part_go_and_those_that_it_cuts_are_cut():
    masks = rectangles((1, 1, 4, 3), (5, 2, 10, 6), (12, 8, 16, 12))
    masks[1, 2, 8:10] = False  # its top row is shorter: the box of what is left is not that of all
    things = things_of(masks, [0, 1, 2])._replace(area=np.array([6.5, 18.0, 16.0]))
    found = part_of(things, slice(2, 12), slice(6, 12))
    assert found.labels.tolist() == [1]
    assert found.boxes.tolist() == [[0, 0, 4, 4]]
    assert np.array_equal(masks_of(found)[0], masks[1, 2:, 6:12])
    assert found.area.tolist() == [14]
    whole = part_of(things, slice(0, 12), ALL)
    assert whole.area.tolist() == [6.5, 18, 16] and np.array_equal(whole.boxes, things.boxes)


def test_boxes_of_things_that_are_not_cut_are_only_moved():
    things = things_of(rectangles((4, 4, 8, 8)), [0])._replace(
        boxes=np.array([[3.5, 4.25, 8.5, 8]], np.float32)
    )
    assert part_of(things, slice(2, 12), slice(1, 16)).boxes.tolist() == [[2.5, 2.25, 7.5, 6]]


def test_a_crowd_stays_one():
    things = things_of(rectangles((0, 0, 2, 2), (8, 8, 10, 10)), [0, 0], crowd=np.array([False, True]))
    assert part_of(things, slice(6, 12), ALL).crowd.tolist() == [True]


def test_resizing_scales_boxes_and_areas_and_keeps_every_thing():
    things = things_of(rectangles((2, 3, 6, 9), (7, 7, 8, 8)), [0, 1])._replace(area=np.array([24.0, 1.0]))
    found = resized(things, (24, 64))
    assert masks_of(found).shape == (2, 24, 64)
    assert found.boxes.tolist() == [[8, 6, 24, 18], [28, 14, 32, 16]]
    assert np.array_equal(found.boxes, boxes_of(masks_of(found)))
    assert found.area.tolist() == [192, 8]
    small = resized(things, (3, 4))
    assert len(small.labels) == 2 and small.boxes[1].tolist() == [1.75, 1.75, 2, 2]
    assert resized(things, (12, 16)) is things


def test_no_thing_is_cut_and_resized_too():
    none = things_of(np.zeros((0, 12, 16), bool), [])
    assert masks_of(resized(part_of(none, slice(0, 6), ALL), (3, 5))).shape == (0, 3, 5)


def test_boxes_alone_are_no_label():
    boxes = Instances(np.zeros((1, 4), np.float32), np.zeros(1, np.int32), np.ones(1, np.float32))
    with pytest.raises(DataError, match="boxes alone"):
        masks_of(boxes)
