"""The expected calibration error, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.errors import InputError
from edgeseg.metrics import (
    are_probabilities,
    calibration_error,
    calibration_sums,
    class_calibration_error,
    paired_rise,
)
from edgeseg.metrics.calibration_error import BINS

ZEROS = np.zeros(4, np.uint8)


def sums(label, prediction, confidence, classes=2, ignore_index=None):
    given = np.uint8(label), np.uint8(prediction), np.float32(confidence)
    return calibration_sums(*given, classes, ignore_index)


def test_a_bin_compares_its_mean_confidence_with_its_share_of_right_pixels():
    """Four pixels around 0.9, three of them right; one of 0.5 that is right."""
    found = sums([0, 0, 0, 0, 1], [0, 0, 0, 1, 1], [0.88, 0.90, 0.91, 0.93, 0.5])
    assert found.shape == (3, 2, BINS) and found[0].sum() == 5 and found[2].sum() == 4
    by_hand = (abs(3 - (0.88 + 0.90 + 0.91 + 0.93)) + abs(1 - 0.5)) / 5
    assert calibration_error(found) == pytest.approx(by_hand, abs=1e-6)
    zero, one = class_calibration_error(found)
    assert zero == pytest.approx(abs(3 - (0.88 + 0.90 + 0.91)) / 3, abs=1e-6)
    assert one == pytest.approx((0.93 + 0.5) / 2, abs=1e-6)


def test_a_bin_has_its_upper_end_and_zero_lies_in_the_first():
    found = sums(ZEROS, ZEROS, [0.0, 1 / 15, 1.01 / 15, 1.0])[0, 0]
    assert found[0] == 2 and found[1] == 1 and found[-1] == 1


def test_sure_and_right_is_no_error_and_sure_and_wrong_is_all_of_it():
    assert calibration_error(sums(ZEROS, ZEROS, np.ones(4))) == 0.0
    assert calibration_error(sums(ZEROS, ZEROS + 1, np.ones(4))) == 1.0


def test_too_sure_and_too_little_sure_do_not_cancel_across_bins_but_within_one():
    across = sums([0, 0], [0, 1], [0.5, 0.9])
    assert calibration_error(across) == pytest.approx((0.5 + 0.9) / 2)
    within = sums([0, 0], [0, 1], [0.5, 0.5])
    assert calibration_error(within) == 0.0
    assert class_calibration_error(within) == pytest.approx([0.5, 0.5]), "each class alone is off"


def test_ignored_pixels_do_not_count():
    found = sums([0, 255, 255], [0, 1, 0], [0.7, 0.9, 0.1], ignore_index=255)
    assert calibration_error(found) == pytest.approx(0.3, abs=1e-6)
    assert np.isnan(class_calibration_error(found)[1])
    assert np.isnan(calibration_error(sums([255], [0], [0.7], ignore_index=255)))


def test_sums_of_images_add_up_to_those_of_all_pixels():
    rng = np.random.default_rng(0)
    label, prediction = rng.integers(0, 3, (2, 4, 50))
    confidence = rng.random((4, 50))
    whole = sums(label, prediction, confidence, 3)
    parts = sum(sums(*each, 3) for each in zip(label, prediction, confidence, strict=True))
    np.testing.assert_allclose(parts, whole)


def test_a_calibrated_confidence_has_next_to_no_error():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1.0, 200_000)
    right = rng.random(confidence.shape) < confidence
    assert calibration_error(sums(right, np.ones_like(right), confidence)) < 0.01


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5, 1.5])
def test_what_is_no_probability_is_refused(value):
    assert not are_probabilities(np.float32([0.5, value]))
    with pytest.raises(InputError, match="no probabilities"):
        sums([0, 0], [0, 0], [0.5, value])


def test_a_probability_that_rounding_took_beyond_1_is_one():
    assert sums([0], [0], [1.004])[0, 0, -1] == 1


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="same shape"):
        sums([0, 0], [0, 0], [0.5])
    with pytest.raises(InputError, match="class id 2"):
        sums([0], [2], [0.5])


def scenes(count, off, seed, pixels=400):
    """Sums [count,3,2,BINS] of images whose confidence is too high by `off`, here more and there less."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        truth = rng.uniform(0.3, 0.8, pixels)
        right = rng.random(pixels) < truth
        found.append(sums(right, np.ones(pixels), np.clip(truth + off + rng.normal(0, 0.05), 0, 1)))
    return np.stack(found)


def test_the_rise_is_in_points_with_an_interval_of_the_same_kind_as_a_drop():
    a, b = scenes(30, 0.02, 0), scenes(30, 0.15, 0)
    found = paired_rise(a, b)
    expected = 100 * (calibration_error(b.sum(0)) - calibration_error(a.sum(0)))
    assert found.drop == pytest.approx(expected) and found.low < expected < found.high
    assert found.low > 5 and found.images == 30
    assert np.isnan(found.class_drop[0]) and found.class_drop[1] == pytest.approx(expected)
    assert paired_rise(b, a).drop == pytest.approx(-expected)
    assert (paired_rise(a, a).low, paired_rise(a, a).high) == (0, 0)


def test_frames_of_one_video_are_one_observation():
    a, b = scenes(12, 0.02, 0), scenes(12, 0.1, 1)
    videos = [f"v{i}" for i in range(12)]
    one, ten = paired_rise(a, b, videos), paired_rise(a.repeat(10, 0), b.repeat(10, 0), np.repeat(videos, 10))
    assert (ten.low, ten.high) == pytest.approx((one.low, one.high)) and ten.observation == "sequence"


def test_a_class_that_one_image_shows_has_a_rise_and_no_interval():
    a = np.stack([sums([0, 0], [0, 0], [0.6, 0.7])] * 5)
    b = a.copy()
    a[2] = sums([0, 1], [0, 1], [0.6, 0.7])
    b[2] = sums([0, 1], [0, 1], [0.6, 0.9])
    found = paired_rise(a, b)
    assert found.class_drop[1] == pytest.approx(-20) and np.isnan(found.class_low[1])


def test_a_class_that_only_one_side_takes_has_no_rise():
    a, b = (np.stack([sums([0, 1], [0, other], [0.6, 0.7])] * 4) for other in (0, 1))
    found = paired_rise(a, b)
    assert np.isnan([found.class_drop[1], found.class_low[1]]).all() and not np.isnan(found.drop)


def test_covers_a_known_rise():
    """Of 200 sets of 12 scenes about 95% should hold the rise of all scenes."""
    rng = np.random.default_rng(0)
    a, b = scenes(300, 0.05, 1), scenes(300, 0.1, 2)
    true = 100 * (calibration_error(b.sum(0)) - calibration_error(a.sum(0)))
    held = 0
    for _ in range(200):
        drawn = rng.integers(0, 300, 12)
        found = paired_rise(a[drawn], b[drawn])
        held += found.low <= true <= found.high
    assert 180 <= held <= 198


def test_sums_that_cannot_be_paired():
    with pytest.raises(InputError, match="cannot be paired"):
        paired_rise(scenes(2, 0, 0), scenes(3, 0, 0))
