from __future__ import annotations

import numpy as np
import pytest

from edgeseg.errors import InputError
from edgeseg.metrics import confusion, iou, mean_iou, paired_drop


def images(count, right, seed, classes=4):
    """Confusion matrices of `count` images with a share of `right` pixels."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, (count, 500))
    hit = rng.random(label.shape) < right
    prediction = np.where(hit, label, (label + 1) % classes)
    return np.stack([confusion(a, b, classes) for a, b in zip(label, prediction, strict=True)])


def test_equals_a_loop_over_resamples():
    a, b = images(12, 0.9, 0), images(12, 0.8, 1)
    drawn = np.random.default_rng(5).integers(0, 12, (50, 12))
    drops = [100 * (mean_iou(a[i].sum(0)) - mean_iou(b[i].sum(0))) for i in drawn]
    classes = np.array([100 * (iou(a[i].sum(0)) - iou(b[i].sum(0))) for i in drawn])
    result = paired_drop(a, b, resamples=50, seed=5)
    assert (result.low, result.high) == pytest.approx(tuple(np.percentile(drops, [2.5, 97.5])))
    assert result.class_low == pytest.approx(np.percentile(classes, 2.5, axis=0))
    assert result.class_high == pytest.approx(np.percentile(classes, 97.5, axis=0))


def test_the_drop_is_in_points_and_of_the_dataset():
    a, b = images(30, 0.9, 0), images(30, 0.8, 1)
    result = paired_drop(a, b)
    assert result.drop == pytest.approx(100 * (mean_iou(a.sum(0)) - mean_iou(b.sum(0))))
    assert result.class_drop == pytest.approx(tuple(100 * (iou(a.sum(0)) - iou(b.sum(0)))))
    assert result.low < result.drop < result.high
    assert result.low > 5
    assert (result.confidence, result.images) == (0.95, 30)
    assert paired_drop(b, a).drop == pytest.approx(-result.drop)


def test_no_difference_gives_an_interval_of_zero():
    a = images(10, 0.7, 0)
    result = paired_drop(a, a)
    assert (result.drop, result.low, result.high) == (0, 0, 0)


def test_the_same_seed_gives_the_same_interval():
    a, b = images(20, 0.9, 0), images(20, 0.88, 1)
    assert paired_drop(a, b) == paired_drop(a, b)
    assert paired_drop(a, b).low != paired_drop(a, b, seed=1).low


def test_pairing_narrows_the_interval():
    """Images differ in difficulty; the drop on each is the same small one."""
    a = np.concatenate([images(1, right, i) for i, right in enumerate(np.linspace(0.4, 0.99, 40))])
    b = a.copy()
    b[:, 0, 0] -= 3
    b[:, 0, 1] += 3
    paired = paired_drop(a, b)
    shuffled = paired_drop(a, b[np.random.default_rng(0).permutation(40)])
    assert paired.high - paired.low < 0.3 * (shuffled.high - shuffled.low)


def test_a_class_that_is_absent_is_nan_and_does_not_spoil_the_rest():
    a, b = images(10, 0.9, 0), images(10, 0.8, 1)
    padded_a, padded_b = np.zeros((2, 10, 5, 5), np.int64)
    padded_a[:, :4, :4], padded_b[:, :4, :4] = a, b
    result, plain = paired_drop(padded_a, padded_b), paired_drop(a, b)
    assert np.isnan([result.class_drop[4], result.class_low[4], result.class_high[4]]).all()
    assert (result.drop, result.low, result.high) == pytest.approx((plain.drop, plain.low, plain.high))


def test_a_class_on_one_image_only():
    a = images(10, 0.9, 0)
    rare = np.zeros((10, 5, 5), np.int64)
    rare[:, :4, :4] = a
    rare[3, 4, 4] = 50
    result = paired_drop(rare, rare)
    assert (result.class_drop[4], result.class_low[4], result.class_high[4]) == (0, 0, 0)


def test_matrices_that_cannot_be_paired():
    with pytest.raises(InputError, match="cannot be paired"):
        paired_drop(images(3, 0.5, 0), images(4, 0.5, 0))
    with pytest.raises(InputError, match="cannot be paired"):
        paired_drop(np.zeros((0, 3, 3)), np.zeros((0, 3, 3)))
