"""Pixels that change their class where the picture stands still."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.evaluation.flicker import LEAST, STILL, FlickerCounts
from edgeseg.evaluation.verify import verify

BASE = np.random.default_rng(0).integers(STILL, 250, (10, 10, 3), np.uint8)
SPEC = ModelSpec(
    name="net", source=Source(kind="onnx", ref="net"), input_size=(10, 10), classes=default_classes(2)
)
ZEROS = np.zeros((10, 10), np.uint8)


def maps(changed: int) -> np.ndarray:
    """Class maps of which so many pixels, from the first on, are of class 1."""
    found = np.zeros(100, np.uint8)
    found[:changed] = 1
    return found.reshape(10, 10)


def test_still_pixels_that_change_are_counted_for_both() -> None:
    counts = FlickerCounts(SPEC)
    noisy, moved = BASE + np.uint8(STILL), BASE.copy()
    moved[:5] = 255 - moved[:5]
    moved[:5][np.abs(moved[:5].astype(int) - noisy[:5]) <= STILL] = 0
    counts.add("a", BASE, maps(0), ZEROS)
    counts.add("a", noisy, maps(10), ZEROS)
    assert counts.result().still == 1.0
    assert (counts.result().engine, counts.result().reference) == (0.1, 0.0)
    counts.add("a", moved, maps(60), ZEROS)
    found = counts.result()
    assert found.still == pytest.approx(0.75, abs=0.03)
    assert found.engine == pytest.approx((10 + 10) / 150, abs=0.01), "what moves may change"


def test_another_video_or_size_follows_no_frame() -> None:
    counts = FlickerCounts(SPEC)
    counts.add("a", BASE, maps(0), ZEROS)
    counts.add("b", BASE, maps(100), ZEROS)
    counts.add("b", BASE[:5], maps(0)[:5], ZEROS[:5])
    assert counts.result() is None


def test_a_camera_that_moves_tells_nothing() -> None:
    counts = FlickerCounts(SPEC)
    still = BASE.copy()
    for step in range(4):
        moved = np.uint8(40 * step) + still
        moved[0, 0] = 0
        counts.add("", moved, maps(step), ZEROS)
    assert LEAST > 1 / 100 and counts.result() is None


def test_verify_tells_the_flicker_of_images_in_their_order(make_bundle, tmp_path) -> None:
    frame = np.zeros((16, 24, 3), np.uint8)
    frame[..., 0] = 255
    for index in range(3):
        Image.fromarray(frame).save(tmp_path / f"{index}.png")
    found = verify(make_bundle(), images=tmp_path).flicker
    assert (found.still, found.engine, found.reference) == (1.0, 0.0, 0.0)
