"""Frames of the camera, made of images of any size."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.preprocess import Preprocess
from edgeseg.datasets import Split
from edgeseg.datasets.pictures import Inputs, resize_frame, seen_by
from edgeseg.quantization.planner.held_out_loss import HeldOut

CAMERA = (8, 12)


@pytest.fixture
def split() -> Split:
    """An image of the camera's size, and one that is larger."""
    random = np.random.default_rng(0)
    pixels = {name: random.integers(0, 256, (*size, 3), np.uint8) for name, size in SIZES.items()}
    return Split(
        dataset="two",
        name="all",
        ids=tuple(SIZES),
        classes=default_classes(3),
        ignore_index=None,
        read_image=pixels.__getitem__,
        read_label=lambda name: pixels[name][..., 0] % 3,
    )


SIZES = {"fits": CAMERA, "large": (20, 24)}


def test_images_and_labels_get_the_size_of_the_camera(split):
    seen = seen_by(split, CAMERA)
    for index in range(2):
        assert np.array_equal(seen.image(index), resize_frame(split.image(index), CAMERA))
        assert np.array_equal(seen.label(index), split.marks.resized(split.label(index), CAMERA))
    assert np.array_equal(seen.image(0), split.image(0)) and seen.image(1).shape == (*CAMERA, 3)


def test_calibration_training_and_the_planner_see_the_same_frames(split):
    from edgeseg.training.data import Samples
    from edgeseg.training.settings import TrainSettings

    spec = ModelSpec(
        name="net", source=Source(kind="zoo", ref="net"), input_size=CAMERA, classes=default_classes(3)
    )
    calibrated = [feed["image"][0] for feed in Inputs(split, spec, CAMERA, name="image")]
    plain = TrainSettings(scale=(1.0, 1.0), flip=0.0, color=0.0)
    trained = Samples(seen_by(split, CAMERA), spec, plain)
    planned = HeldOut(None, spec, CAMERA, seen_by(split, CAMERA))
    multiplier, offset = (np.array(v, np.float32)[:, None, None] for v in spec.preprocess.affine())
    for index in range(2):
        pixels = planned.frames[index].transpose(2, 0, 1) * multiplier + offset
        assert np.allclose(calibrated[index], pixels, atol=1e-5)
        assert np.allclose(trained[0, index][0], pixels, atol=1e-5)


def test_hashes_of_resized_images_are_found_again(split):
    counted = []
    watched = Split(
        **{**vars(split), "read_image": lambda name: counted.append(name) or split.read_image(name)}
    )
    for _ in range(2):
        seen_by(watched, CAMERA).sample_list()
    assert counted == list(SIZES)


def test_with_a_region_images_stay_whole_and_labels_are_those_of_it(split):
    from edgeseg.training.data import Samples
    from edgeseg.training.settings import TrainSettings

    region = (2, 4, 5, 6)
    part = (slice(2, 7), slice(4, 10))
    spec = ModelSpec(
        name="net",
        source=Source(kind="zoo", ref="net"),
        input_size=region[2:],
        classes=default_classes(3),
        preprocess=Preprocess(region=region),
    )
    seen = seen_by(split, CAMERA, region)
    plain = TrainSettings(scale=(1.0, 1.0), flip=0.0, color=0.0)
    trained = Samples(seen, spec, plain)
    planned = HeldOut(None, spec, CAMERA, seen)
    inputs = Inputs(seen, spec, CAMERA, name="image")
    multiplier, offset = (np.array(v, np.float32)[:, None, None] for v in spec.preprocess.affine())
    for index, feed in enumerate(inputs):
        whole = resize_frame(split.image(index), CAMERA)
        label = split.marks.resized(split.label(index), CAMERA)[part]
        assert np.array_equal(seen.image(index), whole) and np.array_equal(seen.label(index), label)
        assert np.array_equal(planned.frames[index], whole)
        pixels = whole[part].transpose(2, 0, 1) * multiplier + offset
        assert np.allclose(feed["image"][0], pixels, atol=1e-5)
        image, target = trained[0, index]
        assert np.allclose(image, pixels, atol=1e-5) and np.array_equal(target, label)
