from __future__ import annotations

import pytest
import tiny
import torch
from torch import nn

from edgeseg.errors import ModelError
from edgeseg.training.settings import TrainSettings
from edgeseg.training.trainable import require_weights, trainable


def test_batch_norm_of_one_value_says_how_many_images_it_takes():
    norm = nn.BatchNorm2d(4)
    with (
        pytest.raises(ModelError, match=r"one value per channel from 1 image\(s\)") as refusal,
        trainable(TrainSettings(batch=2, accumulate=2)),
    ):
        norm(torch.zeros(1, 4, 1, 1))
    assert "--train batch=4" in refusal.value.hint


def test_other_errors_stay():
    with pytest.raises(ValueError, match="mine"), trainable(TrainSettings()):
        raise ValueError("mine")


def test_a_network_without_weights_is_refused():
    with pytest.raises(ModelError, match="no weight that can be trained"):
        require_weights(nn.Sequential(nn.ReLU()))


def test_a_training_whose_maps_have_one_pixel_is_refused(tmp_path, monkeypatch):
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    monkeypatch.setattr(tiny, "network", lambda norm=True: pooled)
    with pytest.raises(ModelError, match="one value per channel"):
        tiny.fit(tmp_path, batch=1)
