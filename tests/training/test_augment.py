from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from edgeseg.core.frame import Frame
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
    changed = jitter(pixels, Frame(), 0.5, np.random.default_rng(1))
    assert not np.allclose(changed, pixels)
    assert changed.min() >= 0.0 and changed.max() <= 255.0
    assert np.array_equal(jitter(pixels, Frame(), 0.0, np.random.default_rng(1)), pixels)


class Stated:
    """A generator that draws what it was told: brightness, contrast, saturation."""

    def __init__(self, *drawn: float) -> None:
        self.drawn = drawn

    def uniform(self, low: float, high: float, size: int) -> np.ndarray:
        assert size == len(self.drawn)
        return np.array(self.drawn)


def row(*pixels: tuple[float, ...]) -> np.ndarray:
    return np.array([pixels], np.float32)


GRAY = Frame(order="gray", dtype="uint16", maximum=4095.0)


@pytest.mark.parametrize(
    ("frame", "drawn", "before", "after"),
    [
        # mean 2000; contrast 1.2: 800, 1400, 3800; brightness 1.1
        (GRAY, (1.1, 1.2, 1.5), [(1000,), (1500,), (3500,)], [(880,), (1540,), (4095,)]),
        # each channel about its own mean: 15 and 150
        (Frame(order="2"), (1.0, 0.8, 1.0), [(10, 100), (20, 200)], [(11, 110), (19, 190)]),
        # grey 0.299 * 100 = 29.9 and 58.7; saturation 0.5; mean 44.3; contrast 1; depth stays
        (
            Frame(order="r,g,b,depth", dtype="uint16"),
            (2.0, 1.0, 0.5),
            [(100, 0, 0, 7), (0, 100, 0, 70)],
            [(129.9, 29.9, 29.9, 7), (58.7, 158.7, 58.7, 70)],
        ),
        # floats have no ends
        (
            Frame(order="gray,depth", dtype="float32"),
            (2.0, 1.0, 1.0),
            [(-0.5, -3), (0.9, 9)],
            [(-1, -3), (1.8, 9)],
        ),
    ],
)
def test_jitter_by_hand(frame: Frame, drawn, before, after):
    pixels = row(*before)
    assert np.allclose(jitter(pixels, frame, 0.5, Stated(*drawn)), row(*after), atol=1e-3)
    assert np.array_equal(pixels, row(*before))


def test_what_is_no_light_is_not_jittered():
    lit_of = {text: Frame.parse(text).light for text in ("r,g,b,depth", "depth,gray", "5", "nir,swir", "bgr")}
    assert lit_of == {
        "r,g,b,depth": [0, 1, 2],
        "depth,gray": [1],
        "5": [0, 1, 2, 3, 4],
        "nir,swir": [0, 1],
        "bgr": [0, 1, 2],
    }


@pytest.mark.parametrize("text", ["gray:uint16:4095", "b,g,r,depth:float32", "5:uint16"])
@pytest.mark.parametrize("resize", ["stretch", "none"])
def test_samples_of_other_frames_are_what_the_device_shows(text: str, resize: str):
    contract = Preprocess(
        frame=Frame.parse(text), color="bgr", resize=resize, pad_space="pixel", pad_value=3.0
    )
    values = np.random.default_rng(0).random((20, 30, contract.channels)) * contract.frame.full
    image, label = values.astype(contract.frame.dtype), np.zeros((20, 30), np.uint8)
    pixels, *_ = training_sample(image, label, contract, (32, 48), NONE, np.random.default_rng(0))
    expected = preprocess(image[None], contract.of_images, (32, 48))[0]
    assert np.allclose(pixels.numpy(), expected, atol=1e-4)


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
