from __future__ import annotations

import numpy as np
import pytest

from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import ModelError
from edgeseg.runtime.postprocess import class_map, confidence_map

torch = pytest.importorskip("torch")


def spec(classes=5, task="semantic", **post):
    return ModelSpec(
        name="net",
        source=Source(kind="zoo", ref="net"),
        task=task,
        input_size=(32, 32),
        classes=default_classes(classes),
        postprocess=Postprocess(**post),
    )


def scores(channels, size=(32, 32), seed=0):
    return np.random.default_rng(seed).normal(size=(2, channels, *size)).astype(np.float32)


def upsampled(x, size):
    return torch.nn.functional.interpolate(torch.from_numpy(x.copy()), size=size, mode="bilinear").numpy()


SAME = Preprocess().place((32, 32), (32, 32))
PADDED = Preprocess(anchor="center").place((20, 30), (32, 32))
LETTERBOX = Preprocess(resize="letterbox", anchor="center").place((100, 150), (32, 32))


def test_the_largest_score_wins_and_the_first_of_equals():
    x = scores(5)
    result = class_map(x, spec(), SAME)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, x.argmax(1))
    assert not class_map(np.zeros_like(x), spec(), SAME).any()


def test_padding_is_cropped():
    x = scores(5)
    np.testing.assert_array_equal(class_map(x, spec(), PADDED), x[:, :, 6:26, 1:31].argmax(1))


def test_scores_are_resized_to_the_camera_before_the_decision():
    x = scores(3)
    expected = upsampled(x[:, :, 5:26], (100, 150)).argmax(1)
    assert LETTERBOX.scaled == (21, 32)
    assert (class_map(x, spec(3), LETTERBOX) != expected).mean() < 1e-3


def test_labels_are_resized_by_nearest_neighbour_after_the_decision():
    x = scores(3)
    labels = torch.from_numpy(x[:, :, 5:26].argmax(1)[:, None].astype(np.float32))
    expected = torch.nn.functional.interpolate(labels, size=(100, 150), mode="nearest-exact").numpy()[:, 0]
    np.testing.assert_array_equal(class_map(x, spec(3, upsample="labels"), LETTERBOX), expected)


@pytest.mark.parametrize(("activation", "threshold"), [("logits", 0.5), ("logits", 0.8), ("sigmoid", 0.3)])
def test_one_channel_is_foreground_above_the_threshold(activation, threshold):
    x = scores(1)
    probability = 1 / (1 + np.exp(-x))
    given = x if activation == "logits" else probability
    result = class_map(given, spec(2, activation=activation, threshold=threshold), SAME)
    np.testing.assert_array_equal(result, probability[:, 0] > threshold)


def test_multi_label_sets_one_bit_per_class():
    x = scores(8)
    result = class_map(x, spec(8, "multilabel"), SAME)
    for bit in range(8):
        np.testing.assert_array_equal(result >> bit & 1, x[:, bit] > 0)


@pytest.mark.parametrize(("task", "classes"), [("multilabel", 9), ("semantic", 257)])
def test_more_classes_than_a_byte_holds_are_refused(task, classes):
    with pytest.raises(ModelError, match=f"{classes} classes"):
        class_map(scores(classes, (32, 32)), spec(classes, task), SAME)


def test_scores_of_a_smaller_head_are_brought_to_the_input_first():
    x = scores(4, (8, 8))
    expected = upsampled(x, (32, 32))[:, :, 6:26, 1:31].argmax(1)
    assert (class_map(x, spec(4), PADDED) != expected).mean() < 1e-3


def test_scores_of_another_rank_are_refused():
    with pytest.raises(ModelError, match=r"\[N,C,H,W\]"):
        class_map(scores(4)[0], spec(4), SAME)


def sure(values, spec):
    """The confidence of a single pixel with these scores, one per channel."""
    x = np.full((1, len(values), 32, 32), np.float32(0)) + np.float32(values)[None, :, None, None]
    found = confidence_map(x, spec, SAME)
    assert found.dtype == np.float32 and found.shape == (1, 32, 32)
    return float(found[0, 0, 0])


@pytest.mark.parametrize(
    ("values", "spec", "expected"),
    [
        ([0.0, np.log(3.0)], spec(2), 0.75),
        ([0.1, 0.6, 0.3], spec(3, activation="softmax"), 0.6),
        ([0.2, 0.9, 0.8], spec(3, activation="sigmoid"), 0.9),
        ([np.log(4.0)], spec(2), 0.8),
        ([-np.log(4.0)], spec(2), 0.8),
        ([0.4], spec(2, activation="sigmoid", threshold=0.3), 0.4),
        ([0.2], spec(2, activation="sigmoid", threshold=0.3), 0.8),
        ([-np.log(4.0), -np.log(9.0)], spec(2, "multilabel"), 0.2),
        ([0.1, 0.7], spec(2, "multilabel", activation="sigmoid"), 0.7),
        ([1000.0, -1000.0], spec(2), 1.0),
        ([-1000.0], spec(2), 1.0),
    ],
)
def test_the_confidence_is_the_probability_of_the_chosen_class(values, spec, expected):
    assert sure(values, spec) == pytest.approx(expected, abs=1e-6)


def test_the_confidence_returns_to_the_camera_as_the_class_map_does():
    x = scores(3)
    shares = np.exp(upsampled(x[:, :, 5:26], (100, 150)))
    expected = (shares / shares.sum(axis=1, keepdims=True)).max(axis=1)
    np.testing.assert_allclose(confidence_map(x, spec(3), LETTERBOX), expected, atol=1e-4)
    few = np.exp(x[:, :, 5:26])
    chosen = torch.from_numpy((few / few.sum(axis=1, keepdims=True)).max(axis=1)[:, None])
    near = torch.nn.functional.interpolate(chosen, size=(100, 150), mode="nearest-exact").numpy()[:, 0]
    found = confidence_map(x, spec(3, upsample="labels"), LETTERBOX)
    np.testing.assert_allclose(found, near, atol=1e-6)
