from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from edgeseg.core.preprocess import Preprocess
from edgeseg.runtime.preprocess import preprocess
from edgeseg.training.augment import jitter, resize_label, training_sample
from edgeseg.training.settings import TrainSettings
from edgeseg.training.tasks import training_of
from edgeseg.training.tasks.semantic import IGNORE

NONE = TrainSettings(flip=0.0, scale=(1.0, 1.0), color=0.0)


def sampled(image, label, contract, size, settings, rng, task="semantic", classes=5):
    """Image and target."""
    learnt = training_of(task)
    drawn = learnt.drawn(label, classes, None)
    shown, drawn, corner = training_sample(image, drawn, contract, size, settings, rng)
    return shown, learnt.target(drawn, settings.crop or size, corner, classes)


@pytest.fixture
def frame() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (20, 30, 3), dtype=np.uint8), rng.integers(0, 5, (20, 30), dtype=np.uint8)


@pytest.mark.parametrize(
    ("contract", "size"),
    [
        (Preprocess(), (32, 32)),
        (Preprocess(color="bgr", scale=1.0, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0)), (32, 32)),
        (Preprocess(anchor="center", pad_value=114.0, pad_space="pixel"), (24, 40)),
        (Preprocess(resize="stretch"), (16, 48)),
        (Preprocess(resize="letterbox"), (32, 32)),
    ],
)
def test_without_augmentation_the_network_sees_what_the_device_shows_it(frame, contract: Preprocess, size):
    image, label = frame
    rng = np.random.default_rng(0)
    pixels, target = sampled(image, label, contract, size, NONE, rng)
    expected = preprocess(image[None], contract, size)[0]
    assert np.allclose(pixels.numpy(), expected, atol=1e-4)
    place = contract.place((20, 30), size)
    padding = np.ones(size, bool)
    padding[place.top : place.top + place.scaled[0], place.left : place.left + place.scaled[1]] = False
    assert (target.numpy()[padding] == IGNORE).all() and (target.numpy()[~padding] < 5).all()
    if not place.resized:
        assert np.array_equal(target.numpy()[~padding].reshape(20, 30), label)


def test_pixels_and_labels_move_together():
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:30, 20:50] = 255
    label = (image[..., 0] > 0).astype(np.uint8)
    settings = TrainSettings(flip=0.5, scale=(0.5, 2.0), color=0.0, crop=(32, 32))
    plain = Preprocess(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    for seed in range(20):
        pixels, target = sampled(image, label, plain, (64, 64), settings, np.random.default_rng(seed))
        assert pixels.shape == (3, 32, 32) and target.shape == (32, 32)
        seen = target != IGNORE
        agree = (pixels[0] > 0.5) == (target == 1)
        assert float(agree[seen].float().mean()) > 0.97


def test_the_same_generator_gives_the_same_sample(frame):
    settings = TrainSettings(crop=(16, 16))
    first, second = (
        sampled(*frame, Preprocess(), (32, 32), settings, np.random.default_rng(7)) for _ in range(2)
    )
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_void_is_never_blended_into_classes():
    label = np.array([[0, IGNORE], [4, 4]], np.int32)
    assert set(np.unique(resize_label(label, (7, 9)))) == {0, 4, IGNORE}


def test_jitter_changes_colours_within_range():
    pixels = np.random.default_rng(0).uniform(0, 255, (8, 8, 3)).astype(np.float32)
    changed = jitter(pixels, 0.5, np.random.default_rng(1))
    assert not np.allclose(changed, pixels)
    assert changed.min() >= 0.0 and changed.max() <= 255.0
    assert np.array_equal(jitter(pixels, 0.0, np.random.default_rng(1)), pixels)


def test_crops_come_from_everywhere(frame):
    settings = msgspec.structs.replace(NONE, crop=(8, 8))
    corners = {
        float(sampled(*frame, Preprocess(), (32, 32), settings, np.random.default_rng(s))[0][0, 0, 0])
        for s in range(30)
    }
    assert len(corners) > 15


def test_bits_move_with_their_pixels_and_padding_does_not_count():
    image = np.zeros((20, 30, 3), np.uint8)
    image[5:15, 5:20] = 255
    label = np.zeros((20, 30, 2), np.uint8)
    label[..., 1] = (image[..., 0] > 0) * 2  # class 9
    plain = Preprocess(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    settings = TrainSettings(flip=1.0, scale=(1.0, 1.0), color=0.0)
    rng = np.random.default_rng(0)
    pixels, target = sampled(image, label, plain, (32, 32), settings, rng, "multilabel", 10)
    assert target.shape == (11, 32, 32)
    assert torch.equal(target[9, :20, :30].bool(), pixels[0, :20, :30] > 0.5)
    assert not target[:9].any()
    assert int(target[10].sum()) == 20 * 30 and not target[10, 20:].any()
