from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from edgeseg.metrics import BoundaryCounts, boundary_counts, boundary_iou, boundary_width


def band(mask, distance):
    """As in the authors' code: the mask minus its erosion, background outside of the image."""
    square = np.ones((3, 3), bool)
    return mask & ~ndimage.binary_erosion(mask, square, iterations=distance, border_value=0)


def reference(label, prediction, classes, ignore_index, distance):
    counted = np.ones(label.shape, bool) if ignore_index is None else label != ignore_index
    result = []
    for c in range(classes):
        truth = band((label == c) & counted, distance)
        guess = band((prediction == c) & counted, distance)
        result.append(((truth & guess).sum(), (truth | guess).sum()))
    return np.array(result).T


@pytest.fixture
def blobs():
    """A label of four regions, and a prediction with moved borders."""
    rng = np.random.default_rng(3)
    field = ndimage.gaussian_filter(rng.standard_normal((4, 70, 90)), (0, 6, 6))
    noise = ndimage.gaussian_filter(rng.standard_normal((4, 70, 90)), (0, 3, 3)) / 8
    return field.argmax(0).astype(np.uint8), (field + noise).argmax(0).astype(np.uint8)


@pytest.mark.parametrize("distance", [1, 2, 3, 5, 8, 40])
@pytest.mark.parametrize("ignore", [False, True])
def test_equals_erosion_by_scipy(blobs, distance, ignore):
    label, prediction = blobs
    if ignore:
        label[20:35, 40:70] = 255
    ignore_index = 255 if ignore else None
    counts = boundary_counts(label, prediction, 5, ignore_index, distance=distance)
    expected = reference(label, prediction, 5, ignore_index, distance)
    assert np.array_equal([counts.intersection, counts.union], expected)


def test_perfect_and_absent():
    label = np.zeros((40, 60), np.uint8)
    label[10:20, 10:30] = 1
    scores = boundary_iou(boundary_counts(label, label, 3))
    assert scores[:2].tolist() == [1.0, 1.0]
    assert np.isnan(scores[2])


def test_a_border_that_moved_costs_more_than_in_plain_iou():
    label, prediction = np.zeros((2, 100, 100), np.uint8)
    label[10:90, 10:90] = 1
    prediction[12:92, 10:90] = 1
    score = boundary_iou(boundary_counts(label, prediction, 2, distance=3))[1]
    assert score < 0.8 < 0.95 < 78 / 82


def test_counts_add_up_over_images(blobs):
    label, prediction = blobs
    one, two = boundary_counts(label, prediction, 4), boundary_counts(label[::-1], label[::-1], 4)
    both = one + two
    assert isinstance(both, BoundaryCounts)
    assert np.allclose(boundary_iou(both), (one.intersection + two.intersection) / (one.union + two.union))


def test_the_default_width_is_two_percent_of_the_diagonal(blobs):
    assert boundary_width(480, 640) == 16
    assert boundary_width(10, 10) == 1
    label, prediction = blobs
    default, stated = (boundary_counts(label, prediction, 4, distance=d) for d in (None, 2))
    assert np.array_equal(default.union, stated.union)


def test_a_prediction_on_an_ignored_pixel_may_be_anything(blobs):
    label, prediction = blobs
    label[:9] = 255
    other = prediction.copy()
    other[:9] = 77
    a, b = (boundary_counts(label, p, 4, 255) for p in (prediction, other))
    assert np.array_equal(a.union, b.union)
    assert np.array_equal(a.intersection, b.intersection)
