from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from tiny import SPEC, image, network, split
from torch import nn

from edgeseg.core.model_spec import default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.datasets.images import unlabelled
from edgeseg.training.evaluate import confusion_of
from edgeseg.training.loop import train
from edgeseg.training.pseudo_labels import taught_split
from edgeseg.training.settings import TrainSettings


def test_a_network_agrees_with_itself_and_another_does_not():
    teacher = network().eval()
    bare = unlabelled("folder", "images", ("1", "2", "3"), image)
    taught = taught_split(bare, teacher, SPEC)
    assert taught.classes == SPEC.classes and taught.label(1).shape == taught.image(1).shape[:2]
    own = confusion_of(teacher, taught, SPEC)
    assert own.sum() == np.trace(own) == 3 * 24 * 28
    torch.manual_seed(1)
    other = nn.Conv2d(3, 3, 1)
    assert np.trace(confusion_of(other, taught, SPEC)) < own.sum()


def test_labels_are_computed_once():
    reads = []

    def counted(identity: str) -> np.ndarray:
        reads.append(identity)
        return image(identity)

    taught = taught_split(unlabelled("folder", "images", ("1",), counted), network().eval(), SPEC)
    first, second = taught.label(0), taught.label(0)
    assert np.array_equal(first, second) and reads == ["1"]


def test_one_channel_behind_a_sigmoid_gives_two_classes(tmp_path: Path):
    """As salient object and text detectors are: foreground where the probability is above the threshold."""
    spec = msgspec.structs.replace(
        SPEC, classes=default_classes(2), postprocess=Postprocess(activation="sigmoid", threshold=0.6)
    )
    torch.manual_seed(3)
    teacher = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), nn.Sigmoid()).eval()
    bare = unlabelled("folder", "images", tuple(map(str, range(6))), image)
    taught = taught_split(bare, teacher, spec)
    assert set(np.unique(taught.label(0))) <= {0, 1}
    student = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), nn.Sigmoid())
    settings = TrainSettings(steps=60, batch=3, lr=0.05, loss="distil", validate_every=60, crop=(16, 16))
    held_out = replace(taught, ids=taught.ids[4:])
    result = train(student, taught.limit(4), held_out, spec, settings, tmp_path, teacher=teacher)
    assert result.card.miou > 0.8
    assert split("val", 1).classes == SPEC.classes
