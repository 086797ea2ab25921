from __future__ import annotations

import numpy as np
import pytest

from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import ModelError
from edgeseg.runtime.postprocess import class_map

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
