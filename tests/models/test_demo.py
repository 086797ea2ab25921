from __future__ import annotations

import pytest

from edgeseg.core.recipe import ModelChoice
from edgeseg.datasets import open_dataset
from edgeseg.errors import CheckpointError
from edgeseg.models.card import card_of
from edgeseg.models.demo import DECODER_CHANNELS, ENCODER, WEIGHTS
from edgeseg.models.load import resolve
from edgeseg.training.evaluate import figures_of


def test_the_shipped_weights_fit_the_demo_and_its_card():
    card = card_of(WEIGHTS)
    assert card is not None
    assert WEIGHTS.stat().st_size <= 4_000_000
    assert card.options["encoder"] == ENCODER and card.options["decoder_channels"] == DECODER_CHANNELS
    assert card.command.startswith("edgeseg train --model mobile-unet ")
    loaded = resolve(ModelChoice(name="demo"))
    assert loaded.notes == ()
    assert loaded.spec.input_size == (256, 320)
    assert loaded.spec.weights is not None and loaded.spec.weights.sha256 == card.sha256
    data = open_dataset("synthetic-streets")
    assert loaded.spec.classes == data.classes and loaded.spec.ignore_index == data.ignore_index


def test_the_demo_reaches_the_miou_its_card_states():
    card = card_of(WEIGHTS)
    assert card is not None and 0.6 <= card.score <= 0.9
    loaded = resolve(ModelChoice(name="demo"))
    split = open_dataset("synthetic-streets").split("val")
    assert len(split) == 60
    assert figures_of(loaded.module, split, loaded.spec).value == pytest.approx(card.score, abs=2e-3)


def test_the_demo_has_its_own_classes():
    with pytest.raises(CheckpointError, match="the checkpoint has 10 classes"):
        resolve(ModelChoice(name="demo", classes=11))
