from __future__ import annotations

import numpy as np
import pytest

from edgeseg.metrics import overlaps
from edgeseg.metrics.overlaps import box_areas, box_overlaps, mask_areas, mask_overlaps


def overlaps_of(a, b, crowd):
    return mask_overlaps(a, b, crowd, (mask_areas(a), mask_areas(b)))


@pytest.mark.parametrize("cells", [1, 50, 1 << 22])
def test_masks_are_counted_pixel_by_pixel_however_they_are_cut(monkeypatch, cells):
    monkeypatch.setattr(overlaps, "CELLS", cells)
    rng = np.random.default_rng(0)
    a, b = rng.random((4, 9, 7)) < 0.4, rng.random((3, 9, 7)) < 0.6
    a[0] = b[0] = False
    crowd = np.array([False, False, True])
    found = overlaps_of(a, b, crowd)
    for i, j in np.ndindex(4, 3):
        both = int((a[i] & b[j]).sum())
        whole = int(a[i].sum() if crowd[j] else (a[i] | b[j]).sum())
        assert found[i, j] == (both / whole if both else 0.0)


def test_boxes_as_masks_of_whole_pixels_overlap_alike():
    rng = np.random.default_rng(1)
    start = rng.integers(0, 12, (20, 2))
    boxes = np.concatenate([start, start + rng.integers(0, 8, (20, 2))], axis=1).astype(np.float32)
    masks = np.zeros((20, 20, 20), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
        mask[y0:y1, x0:x1] = True
    crowd = rng.random(20) < 0.5
    np.testing.assert_array_equal(box_areas(boxes), mask_areas(masks))
    np.testing.assert_allclose(
        box_overlaps(boxes, boxes, crowd), overlaps_of(masks, masks, crowd), rtol=1e-12
    )


def test_nothing_overlaps_nothing():
    none, one = np.zeros((0, 3, 3), bool), np.ones((1, 3, 3), bool)
    assert overlaps_of(none, one, np.zeros(1, bool)).shape == (0, 1)
    assert overlaps_of(one, none, np.zeros(0, bool)).shape == (1, 0)
    assert box_overlaps(np.zeros((0, 4)), np.zeros((2, 4)), np.zeros(2, bool)).shape == (0, 2)
