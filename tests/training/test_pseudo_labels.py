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
from edgeseg.training.evaluate import figures_of
from edgeseg.training.loop import train
from edgeseg.training.pseudo_labels import pseudo_labelled
from edgeseg.training.settings import TrainSettings


def test_a_network_agrees_with_itself_and_another_does_not():
    teacher = network().eval()
    bare = unlabelled("folder", "images", ("1", "2", "3"), image)
    labelled = pseudo_labelled(bare, teacher, SPEC)
    assert labelled.classes == SPEC.classes and labelled.label(1).shape == labelled.image(1).shape[:2]
    own = figures_of(teacher, labelled, SPEC)
    assert own.value == own.means["pixel accuracy"] == 1.0
    torch.manual_seed(1)
    other = nn.Conv2d(3, 3, 1)
    assert figures_of(other, labelled, SPEC).value < own.value


def test_labels_are_computed_once():
    reads = []

    def counted(identity: str) -> np.ndarray:
        reads.append(identity)
        return image(identity)

    labelled = pseudo_labelled(unlabelled("folder", "images", ("1",), counted), network().eval(), SPEC)
    first, second = labelled.label(0), labelled.label(0)
    assert np.array_equal(first, second) and reads == ["1"]


def test_one_channel_behind_a_sigmoid_gives_two_classes(tmp_path: Path):
    """As salient object and text detectors are: foreground where the probability is above the threshold."""
    spec = msgspec.structs.replace(
        SPEC, classes=default_classes(2), postprocess=Postprocess(activation="sigmoid", threshold=0.6)
    )
    torch.manual_seed(3)
    teacher = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), nn.Sigmoid()).eval()
    bare = unlabelled("folder", "images", tuple(map(str, range(6))), image)
    labelled = pseudo_labelled(bare, teacher, spec)
    assert set(np.unique(labelled.label(0))) <= {0, 1}
    student = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), nn.Sigmoid())
    settings = TrainSettings(steps=60, batch=3, lr=0.05, loss="distil", validate_every=60, crop=(16, 16))
    held_out = replace(labelled, ids=labelled.ids[4:])
    result = train(student, labelled.limit(4), held_out, spec, settings, tmp_path, teacher=teacher)
    assert result.card.score > 0.8
    assert split("val", 1).classes == SPEC.classes
