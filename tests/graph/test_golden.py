from __future__ import annotations

import numpy as np
import pytest
from small_graphs import network, outputs_of, smooth_frames, spec_of

from edgeseg.core.model_spec import default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.core.quantization import ScoreGrid
from edgeseg.graph.deploy import compose
from edgeseg.graph.faults import smallest_shown
from edgeseg.graph.fp16 import to_fp16
from edgeseg.graph.golden import FULL_BITS, INT8_BITS, golden
from edgeseg.graph.margins import margins, margins_as, stable_decisions
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import task_of
from edgeseg.runtime.tasks.maps import map_task

NOISE = 1e-3


def noisy(scores: np.ndarray) -> np.ndarray:
    """What rounding that moves every score up or down by NOISE makes of them."""
    signs = np.random.default_rng(0).choice((-1.0, 1.0), scores.shape)
    return (scores + NOISE * signs).astype(np.float32)


def stable(exact: np.ndarray, found: np.ndarray, spec, step: float = 0.0) -> np.ndarray:
    """Of whole scores in two strips."""
    before = margins((exact[:, :, :3], exact[:, :, 3:]), map_task(spec), spec)
    found = margins_as(before, (found[:, :, :2], found[:, :, 2:]), map_task(spec), spec)
    return stable_decisions(before.apart, found, step).all(axis=1)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("upsample", ["scores", "labels"])
def test_stable_pixels_survive_half_precision(channels, upsample):
    spec = spec_of(
        classes=default_classes(max(2, channels)),
        preprocess=Preprocess(resize="letterbox", anchor="center"),
        postprocess=Postprocess(upsample=upsample),
    )
    plain, frames = network(channels, stride=2), smooth_frames(1, (60, 70))
    deploy = compose(plain, spec, (60, 70))
    result = golden(deploy, plain, spec, frames, bits=11)
    assert {k: (v.dtype.name, v.shape) for k, v in result.items()} == {
        "frames": ("uint8", (1, 60, 70, 3)),
        "class_map": ("uint8", (1, 60, 70)),
        "confident": ("bool", (1, 60, 70)),
        "stable": ("bool", (1, 60, 70)),
        "moved": ("float32", (1,)),
        "plain/class_map": ("uint8", (1, 60, 70)),
    }
    assert 0.5 < result["stable"].mean() <= result["confident"].mean()
    half = outputs_of(to_fp16(deploy, {})[0], frames)["class_map"]
    assert (half == result["class_map"])[result["stable"]].all()


def test_fewer_bits_leave_fewer_pixels():
    spec, frames = spec_of(), smooth_frames(2, (32, 48))
    deploy = compose(network(), spec, (32, 48))
    shares = [golden(deploy, network(), spec, frames, bits)["stable"].mean() for bits in (24, 11, 8, 4)]
    assert shares == sorted(shares, reverse=True) and shares[0] > 0.99 > shares[-1]


def test_int8_is_compared_at_full_precision_where_fewer_bits_keep_the_class():
    spec, frames = spec_of(), smooth_frames(2, (32, 48))
    deploy = compose(network(), spec, (32, 48))
    exact, int8 = (golden(deploy, network(), spec, frames, 24, full_bits=b) for b in (FULL_BITS, INT8_BITS))
    assert int8["confident"].mean() < exact["confident"].mean()
    assert (int8["stable"] == int8["confident"]).all()


def test_a_margin_within_the_noise_is_not_stable():
    scores = np.zeros((1, 4, 32, 48), np.float32)
    scores[:, 0], scores[:, 1] = 1.0, 0.5
    scores[0, 1, 3, 5] = 1.0 - 2 * NOISE
    kept = stable(scores, noisy(scores), spec_of())
    assert not kept[0, 3, 5] and kept.sum() == kept.size - 1


def test_every_threshold_of_a_bit_mask_counts():
    scores = np.ones((1, 4, 32, 48), np.float32)
    scores[0, 2, 7, 9] = -NOISE
    assert not stable(scores, noisy(scores), spec_of(task="multilabel"))[0, 7, 9]


def test_bits_are_compared_one_by_one():
    """Of a pixel that is not sure of one class the others are compared all the same."""
    spec = spec_of((8, 8), task="multilabel", classes=default_classes(10))
    task, place = task_of(spec), spec.preprocess.place((8, 8), (8, 8))
    stable = np.ones((1, 10, 8, 8), bool)
    stable[0, 9, 2, 3] = False
    marks = task.compared(stable, place)
    right = {"bit_masks": np.zeros((1, 8, 8, 2), np.uint8)}
    assert (marks.dtype.name, marks.shape) == task.marks(right) == ("uint8", (1, 8, 8, 2))
    assert marks[0, 2, 3].tolist() == [0b11111111, 0b01] and marks[0, 0, 0].tolist() == [0b11111111, 0b11]
    assert task.share(marks, spec) == 639 / 640
    wrong = {"bit_masks": right["bit_masks"].copy()}
    wrong["bit_masks"][0, 2, 3] = 0b100, 0b10
    assert task.agreeing(wrong, right, marks) == (638, 639), "class 2 counts, class 9 does not"
    assert task.same(wrong, right).sum() == 63


def test_noise_in_one_place_leaves_the_rest_of_the_frame_compared():
    scores = np.zeros((1, 2, 32, 48), np.float32)
    scores[:, 0] = 0.1
    found = scores.copy()
    found[0, 0, :4, :4] += 1.0
    kept = stable(scores, found, spec_of(classes=default_classes(2)))
    assert not kept[0, :4, :4].any()


def test_two_scores_on_one_level_of_the_class_decision_are_a_tie():
    scores = np.zeros((1, 2, 8, 8), np.float32)
    scores[:, 0] = 0.05
    same = stable(
        scores, scores, spec_of(classes=default_classes(2)), step=ScoreGrid(scale=0.1, zero_point=0).scale
    )
    assert not same.any()


def test_a_score_that_is_not_a_number_is_not_stable():
    scores = np.zeros((1, 2, 8, 8), np.float32)
    scores[:, 0] = 1.0
    found = scores.copy()
    found[0, 0, 2, 2] = np.nan
    assert not stable(scores, found, spec_of(classes=default_classes(2)))[0, 2, 2]


def test_the_frames_of_golden_are_the_input_of_the_plain_graph():
    spec, frames = spec_of(), smooth_frames(1, (32, 48))
    scores = outputs_of(network(), preprocess(frames, spec.preprocess, (32, 48)))["scores"]
    found = golden(compose(network(), spec, (32, 48)), network(), spec, frames, bits=24)
    np.testing.assert_array_equal(found["class_map"], scores.argmax(1))


def test_a_check_on_fewer_pixels_shows_only_larger_faults():
    spec, frames = spec_of(), smooth_frames(2, (32, 48))
    everywhere = np.ones((2, 32, 48), bool)
    result = golden(compose(network(), spec, (32, 48)), network(), spec, frames, bits=8)
    right = {"class_map": result["plain/class_map"]}
    all_pixels = smallest_shown(network(), spec, frames, right, everywhere, 0.995)
    assert all_pixels == pytest.approx(0.005)
    assert smallest_shown(network(), spec, frames, right, result["stable"], 0.995) > all_pixels
    assert smallest_shown(network(), spec, frames, right, ~everywhere, 0.995) is None
