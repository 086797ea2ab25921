from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassJaccardIndex

from edgeseg.metrics import confusion, dice, iou, labelled, mean_iou, pixel_accuracy


@pytest.fixture
def maps():
    rng = np.random.default_rng(1)
    label = rng.integers(0, 6, (40, 50))
    prediction = np.where(rng.random(label.shape) < 0.7, label, rng.integers(0, 6, label.shape))
    return label, prediction


def reference(metric, maps):
    label, prediction = (torch.from_numpy(m) for m in maps)
    return metric(prediction, label).numpy()


def test_equal_torchmetrics(maps):
    matrix = confusion(*maps, 6)
    assert np.allclose(iou(matrix), reference(MulticlassJaccardIndex(6, average=None), maps), atol=1e-6)
    assert np.allclose(dice(matrix), reference(MulticlassF1Score(6, average=None), maps), atol=1e-6)
    assert np.allclose(mean_iou(matrix), reference(MulticlassJaccardIndex(6), maps), atol=1e-6)
    accuracy = reference(MulticlassAccuracy(6, average="micro"), maps)
    assert np.allclose(pixel_accuracy(matrix), accuracy, atol=1e-6)


def test_perfect():
    matrix = np.diag([5, 0, 7])
    assert iou(matrix)[[0, 2]].tolist() == dice(matrix)[[0, 2]].tolist() == [1, 1]
    assert mean_iou(matrix) == pixel_accuracy(matrix) == 1.0


def test_a_class_in_neither_map_is_nan_and_not_averaged():
    matrix = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert np.isnan(iou(matrix)).tolist() == np.isnan(dice(matrix)).tolist() == [False, False, True]
    assert mean_iou(matrix) == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_a_class_only_in_the_prediction_takes_pixels_from_the_others_and_is_no_term_of_the_mean():
    matrix = np.array([[3, 1], [0, 0]])
    assert iou(matrix).tolist() == [0.75, 0.0]
    assert labelled(matrix).tolist() == [True, False]
    assert mean_iou(matrix) == 0.75
    assert np.isnan(iou(matrix, labelled(matrix))).tolist() == [False, True]
    assert np.isnan(dice(matrix, labelled(matrix))).tolist() == [False, True]


def test_a_mean_may_count_a_class_that_another_frame_has_labels_of():
    assert mean_iou(np.array([[3, 1], [0, 0]]), np.array([True, True])) == 0.375


def test_nothing_counted():
    empty = np.zeros((3, 3), int)
    assert np.isnan(iou(empty)).all()
    assert np.isnan(mean_iou(empty))
    assert np.isnan(pixel_accuracy(empty))


def test_a_stack_of_matrices():
    stack = np.random.default_rng(2).integers(0, 9, (4, 3, 3))
    assert iou(stack).shape == (4, 3)
    assert mean_iou(stack).tolist() == [float(mean_iou(m)) for m in stack]
    assert pixel_accuracy(stack).tolist() == [float(pixel_accuracy(m)) for m in stack]


def test_scores_are_of_the_dataset_and_not_averages_over_images():
    large, small = np.array([[90, 10], [0, 0]]), np.array([[0, 1], [0, 9]])
    assert mean_iou(large + small) == pytest.approx((90 / 101 + 9 / 20) / 2)
