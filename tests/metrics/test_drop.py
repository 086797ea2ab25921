from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from edgeseg.errors import InputError
from edgeseg.metrics import confusion, iou, mean_iou, paired_drop


def images(count, right, seed, classes=4):
    """Confusion matrices of `count` images with a share of `right` pixels."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, (count, 500))
    hit = rng.random(label.shape) < right
    prediction = np.where(hit, label, (label + 1) % classes)
    return np.stack([confusion(a, b, classes) for a, b in zip(label, prediction, strict=True)])


def test_the_interval_is_t_standard_errors_of_a_jackknife():
    a, b = images(12, 0.9, 0), images(12, 0.8, 1)
    kept = [np.arange(12) != left for left in range(12)]
    drops = np.array([100 * (mean_iou(a[k].sum(0)) - mean_iou(b[k].sum(0))) for k in kept])
    classes = np.array([100 * (iou(a[k].sum(0)) - iou(b[k].sum(0))) for k in kept])
    reach = t.ppf(0.975, 11) * np.sqrt(11 * drops.var())
    result = paired_drop(a, b)
    assert (result.low, result.high) == pytest.approx((result.drop - reach, result.drop + reach))
    reach = t.ppf(0.95, 11) * np.sqrt(11 * classes.var(axis=0))
    one_sided = paired_drop(a, b, confidence=0.9)
    assert one_sided.class_low == pytest.approx(tuple(one_sided.class_drop - reach))
    assert one_sided.class_high == pytest.approx(tuple(one_sided.class_drop + reach))


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


def test_a_class_on_one_image_only_has_a_drop_and_no_interval():
    a = images(10, 0.9, 0)
    rare = np.zeros((10, 5, 5), np.int64)
    rare[:, :4, :4] = a
    rare[3, 4, 4] = 50
    result = paired_drop(rare, rare)
    assert result.class_drop[4] == 0 and np.isnan([result.class_low[4], result.class_high[4]]).all()
    assert (result.low, result.high) == (0, 0)


def test_a_class_that_is_only_predicted_is_no_term_of_the_drop():
    """IoU 0 for a class that nobody labelled made every drop smaller by 1/C."""
    a, b = images(10, 0.9, 0), images(10, 0.8, 1)
    padded_a, padded_b = np.zeros((2, 10, 5, 5), np.int64)
    padded_a[:, :4, :4], padded_b[:, :4, :4] = a, b
    for matrices in (padded_a, padded_b):
        matrices[:, 1, 1] -= 5
        matrices[:, 1, 4] += 5
    result = paired_drop(padded_a, padded_b)
    worst = [np.delete(iou(m.sum(0)), 4) for m in (padded_a, padded_b)]
    assert result.drop == pytest.approx(100 * (worst[0].mean() - worst[1].mean()))
    assert np.isnan(result.class_drop[4])


def test_frames_of_one_video_are_one_observation():
    """Ten frames that lose the same say no more than one of them."""
    a = np.concatenate([images(1, right, i) for i, right in enumerate(np.linspace(0.6, 0.99, 12))])
    b = images(12, 0.8, 50)
    videos = [f"video{i}" for i in range(12)]
    one, ten = paired_drop(a, b, videos), paired_drop(a.repeat(10, 0), b.repeat(10, 0), np.repeat(videos, 10))
    assert (ten.low, ten.high) == pytest.approx((one.low, one.high))
    single = paired_drop(a.repeat(10, 0), b.repeat(10, 0))
    assert single.high - single.low < 0.4 * (ten.high - ten.low)
    assert (ten.observation, ten.images, ten.sequences, ten.caveat) == ("sequence", 120, 12, "")
    assert (single.observation, single.sequences, single.caveat) == ("image", 0, "")


def test_few_sequences_say_so_and_one_sequence_is_told_image_by_image():
    a, b = images(20, 0.9, 0), images(20, 0.8, 1)
    few = paired_drop(a, b, ["x"] * 10 + ["y"] * 10)
    assert few.caveat == "only 2 sequences: rough" and few.observation == "sequence"
    single = paired_drop(a, b, ["x"] * 20)
    assert (single.low, single.high) == (paired_drop(a, b).low, paired_drop(a, b).high)
    assert single.caveat == "20 images of 1 sequence, one by one: too narrow for other scenes"


def test_a_single_image_tells_no_interval():
    result = paired_drop(images(1, 0.9, 0), images(1, 0.8, 1))
    assert result.drop != 0 and np.isnan([result.low, result.high]).all()


def test_no_interval_says_that_more_is_lost_than_there_is():
    result = paired_drop(images(2, 0.99, 0), np.concatenate([images(1, 0.1, 1), images(1, 0.9, 2)]))
    assert result.low >= -100 and result.high == 100


def test_covers_a_known_drop_of_sequences():
    """Scenes differ, the 6 frames of one do not; of 200 sets of 12 scenes 95% should hold the drop."""
    rng = np.random.default_rng(0)
    scenes = 300
    right = rng.uniform(0.6, 0.95, scenes)
    worse = np.clip(right - rng.exponential(0.03, scenes), 0, 1)
    a, b = (np.concatenate([images(1, share, i) for i, share in enumerate(side)]) for side in (right, worse))
    true = 100 * (mean_iou(a.sum(0)) - mean_iou(b.sum(0)))
    held = {"sequences": 0, "images": 0}
    for _ in range(200):
        drawn = rng.integers(0, scenes, 12).repeat(6)
        for name, told in (("sequences", np.arange(12).repeat(6).astype(str)), ("images", ())):
            found = paired_drop(a[drawn], b[drawn], told)
            held[name] += found.low <= true <= found.high
    assert 180 <= held["sequences"] <= 196
    assert held["images"] < 140


def test_matrices_that_cannot_be_paired():
    with pytest.raises(InputError, match="cannot be paired"):
        paired_drop(images(3, 0.5, 0), images(4, 0.5, 0))
    with pytest.raises(InputError, match="cannot be paired"):
        paired_drop(np.zeros((0, 3, 3)), np.zeros((0, 3, 3)))
    with pytest.raises(InputError, match="cannot be paired"):
        paired_drop(images(3, 0.5, 0), images(3, 0.5, 0), ["x", "y"])
