from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassConfusionMatrix

from edgeseg.errors import InputError
from edgeseg.metrics import confusion


@pytest.mark.parametrize("ignore_index", [None, 3, 255])
def test_equals_torchmetrics(ignore_index):
    rng = np.random.default_rng(0)
    label, prediction = rng.integers(0, 5, (2, 3, 20, 30))
    if ignore_index is not None:
        label[rng.random(label.shape) < 0.2] = ignore_index
    reference = MulticlassConfusionMatrix(num_classes=5, ignore_index=ignore_index)
    expected = reference(torch.from_numpy(prediction), torch.from_numpy(label)).numpy()
    ours = confusion(label.astype(np.uint8), prediction.astype(np.uint8), 5, ignore_index)
    assert ours.dtype == np.int64
    assert np.array_equal(ours, expected)


def test_a_prediction_on_an_ignored_pixel_may_be_anything():
    label, prediction = np.array([[0, 255]], np.uint8), np.array([[0, 200]], np.uint8)
    assert confusion(label, prediction, 2, 255).tolist() == [[1, 0], [0, 0]]


def test_nothing_to_count():
    assert confusion(np.full((4, 4), 9), np.zeros((4, 4), int), 3, 9).sum() == 0


@pytest.mark.parametrize(("which", "value"), [("label", 4), ("prediction", 7), ("prediction", -1)])
def test_an_id_outside_the_classes(which, value):
    maps = {"label": np.zeros((2, 2), int), "prediction": np.zeros((2, 2), int)}
    maps[which][1, 1] = value
    with pytest.raises(InputError, match=f"the {which} holds the class id {value}"):
        confusion(maps["label"], maps["prediction"], 4)


def test_shapes_that_differ():
    with pytest.raises(InputError, match=r"\[2, 3\].*\[3, 2\]"):
        confusion(np.zeros((2, 3), int), np.zeros((3, 2), int), 2)
