from __future__ import annotations

import numpy as np
import pytest
from scenes import found, things
from second_opinion import second_opinion

from edgeseg.metrics import Instances, average_precision, matches, mean_present, precision_tables
from edgeseg.metrics.average_precision import together
from edgeseg.metrics.matching import SIZES

CLASSES = 3


def scene(seed):
    """Six images; the second has no thing, the third no detection; in some scenes one class has no thing."""
    rng = np.random.default_rng(seed)
    shown = CLASSES - 1 if seed % 3 == 0 else CLASSES
    crowds, equal, wrong = 0.3 * (seed % 2), seed % 4 == 1, int(rng.integers(0, 6))
    pairs = []
    for image in range(6):
        truth = things(rng, 0 if image == 1 else rng.integers(1, 8), shown, crowds=crowds)
        guess = found(rng, truth, CLASSES, wrong=wrong, equal=equal)
        pairs.append((truth, cut(guess, 0) if image == 2 else guess))
    return pairs


def cut(things, count):
    return Instances(*(None if values is None else values[:count] for values in things))


def all_of(pairs, masks):
    kept = [matches(truth, guess, CLASSES, masks=masks) for truth, guess in pairs]
    ones = np.ones((1, len(kept)), int)
    return np.stack([average_precision(kept, ones, size)[0] for size in SIZES], axis=-1)


@pytest.mark.parametrize("masks", [False, True], ids=["boxes", "masks"])
@pytest.mark.parametrize("seed", range(16))
def test_it_is_what_faster_coco_eval_says(seed, masks):
    pairs = scene(seed)
    if not masks:
        rng = np.random.default_rng(seed)
        pairs = [(alone(truth), shaken(rng, guess)) for truth, guess in pairs]
    values = all_of(pairs, masks)
    assert np.nanmax(values) > 0.1
    np.testing.assert_allclose(values, second_opinion(pairs, CLASSES, masks), rtol=0, atol=1e-6)


def alone(things):
    return things._replace(masks=None)


def shaken(rng, things):
    """Corners between pixels."""
    size = things.boxes[:, 2:] - things.boxes[:, :2]
    moved = rng.uniform(-0.1, 0.1, (len(size), 4)) * np.tile(size, 2)
    return alone(things)._replace(boxes=(things.boxes + moved).astype(np.float32))


def test_more_than_a_hundred_detections_of_one_image():
    rng = np.random.default_rng(5)
    truth = things(rng, 12, 1)
    guess = found(rng, truth, 1, wrong=150, most=4)
    pairs = [(truth, guess), *scene(2)]
    assert len(guess.labels) > 150
    np.testing.assert_allclose(all_of(pairs, True), second_opinion(pairs, CLASSES, True), rtol=0, atol=1e-6)


def by_hand():
    """Two things; found: one, nothing, the other."""
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [20, 0, 30, 10]], np.float32)
    truth = Instances(boxes[[0, 2]], np.zeros(2, np.int32), np.ones(2, np.float32))
    guess = Instances(boxes, np.zeros(3, np.int32), np.array([0.9, 0.8, 0.7], np.float32))
    return matches(truth, guess, 2, masks=False)


def test_a_case_by_hand():
    tables = precision_tables([by_hand()])
    expected = (51 * 1.0 + 50 * 2 / 3) / 101
    for name in ("AP", "AP50", "AP75", "AP small"):
        assert tables[name] == pytest.approx([expected, np.nan], nan_ok=True)
        assert mean_present(tables[name]) == pytest.approx(expected)
    assert np.isnan(tables["AP medium"]).all() and np.isnan(tables["AP large"]).all()


def test_nothing_found_is_nought_and_nothing_to_find_is_no_number():
    truth = Instances(np.array([[0, 0, 9, 9]], np.float32), np.zeros(1, np.int32), np.ones(1, np.float32))
    assert precision_tables([matches(truth, cut(truth, 0), 2, masks=False)])["AP"] == pytest.approx(
        [0.0, np.nan], nan_ok=True
    )


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_an_image_of_weight_two_is_two_images(seed):
    kept = [matches(truth, guess, CLASSES, masks=True) for truth, guess in scene(seed)]
    weights = np.array([[1, 1, 1, 1, 1, 1], [2, 0, 1, 3, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 1, 1, 2, 2]])
    values = average_precision(kept, weights)
    for row, value in zip(weights, values, strict=True):
        copies = [kept[image] for image in np.repeat(np.arange(6), row)]
        alone = average_precision(copies, np.ones((1, len(copies)), int))[0]
        np.testing.assert_allclose(value, alone, rtol=0, atol=1e-12)
    assert np.isnan(values[2]).all()


@pytest.mark.parametrize("seed", [1, 4])
def test_images_together_are_worth_what_they_are_worth_apart(seed):
    kept = [matches(truth, guess, CLASSES, masks=True) for truth, guess in scene(seed)]
    apart, joined = precision_tables(kept), precision_tables([together(kept[:4]), together(kept[4:])])
    for name, values in apart.items():
        np.testing.assert_array_equal(values, joined[name])
