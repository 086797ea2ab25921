from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from tiny import SPEC, network, split

from edgeseg.errors import InputError
from edgeseg.training.data import Samples
from edgeseg.training.loop import train
from edgeseg.training.losses import feature_distance, parse_loss
from edgeseg.training.settings import TrainSettings
from edgeseg.training.taps import Taps
from edgeseg.training.tasks import training_of


def test_pairs_are_what_both_networks_returned_last():
    student, teacher = network(False), copy.deepcopy(network(False))
    teacher[0].weight.data *= 2
    taps = Taps((student, teacher), ("0", "2"))
    image = torch.ones(1, 3, 8, 8)
    for module in (student, teacher):
        module(torch.zeros_like(image))
        module(image)
    (first, second), (third, fourth) = taps.pairs()
    assert torch.equal(first, student[0](image)) and torch.equal(second, teacher[0](image))
    assert torch.equal(third, student[:3](image)) and torch.equal(fourth, teacher[:3](image))
    taps.pairs()
    taps.remove()
    student(image)
    with pytest.raises(KeyError):
        taps.pairs()


def test_the_distance_is_relative_to_the_teacher():
    teacher = torch.randn(2, 3, 4, 4)
    pairs = [(1.1 * teacher, teacher), (teacher * 7, teacher * 10)]
    assert float(feature_distance(pairs)) == pytest.approx((0.01 + 0.09) / 2, rel=1e-4)


def test_features_alone_teach(tmp_path: Path):
    """A student with other first weights gives maps closer to its teacher's."""
    teacher, student = network(False).eval(), network(False)
    student[0].weight.data *= 0.5

    @torch.no_grad()
    def distance() -> float:
        return float(feature_distance([(student[0](picture), teacher[0](picture))]))

    settings = TrainSettings(
        steps=40, batch=4, lr=0.01, loss="features", validate_every=40, crop=(16, 16), color=0.0
    )
    picture = Samples(split("val", 1), SPEC, settings)[0, 0][0][None]
    before = distance()
    splits = split("train", 8), split("val", 2)
    train(student, *splits, SPEC, settings, tmp_path, teacher=teacher, features=("0",))
    assert distance() < before / 2
    assert not student[0]._forward_hooks and not teacher[0]._forward_hooks


def test_features_need_a_teacher_and_names(tmp_path: Path):
    settings = TrainSettings(steps=1, batch=2, loss="ce+features")
    splits = split("train", 4), split("val", 2)
    with pytest.raises(InputError, match="no network to distil from"):
        train(network(), *splits, SPEC, settings, tmp_path, features=("0",))
    with pytest.raises(InputError, match="no inner maps to compare"):
        train(network(), *splits, SPEC, settings, tmp_path, teacher=network())
    assert parse_loss("distil+0.5*features", training_of("semantic")).terms == (
        (1.0, "distil"),
        (0.5, "features"),
    )
