from __future__ import annotations

import numpy as np
import pytest

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import ModelError
from edgeseg.runtime.tasks import decided, task_of
from edgeseg.runtime.tasks.multilabel import BitMasks, mask_of, packed, unpacked

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
    result = decided(x, spec(), SAME)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, x.argmax(1))
    assert not decided(np.zeros_like(x), spec(), SAME).any()


def test_padding_is_cropped():
    x = scores(5)
    np.testing.assert_array_equal(decided(x, spec(), PADDED), x[:, :, 6:26, 1:31].argmax(1))


def test_scores_are_resized_to_the_camera_before_the_decision():
    x = scores(3)
    expected = upsampled(x[:, :, 5:26], (100, 150)).argmax(1)
    assert LETTERBOX.scaled == (21, 32)
    assert (decided(x, spec(3), LETTERBOX) != expected).mean() < 1e-3


def test_labels_are_resized_by_nearest_neighbour_after_the_decision():
    x = scores(3)
    labels = torch.from_numpy(x[:, :, 5:26].argmax(1)[:, None].astype(np.float32))
    expected = torch.nn.functional.interpolate(labels, size=(100, 150), mode="nearest-exact").numpy()[:, 0]
    np.testing.assert_array_equal(decided(x, spec(3, upsample="labels"), LETTERBOX), expected)


@pytest.mark.parametrize(("activation", "threshold"), [("logits", 0.5), ("logits", 0.8), ("sigmoid", 0.3)])
def test_one_channel_is_foreground_above_the_threshold(activation, threshold):
    x = scores(1)
    probability = 1 / (1 + np.exp(-x))
    given = x if activation == "logits" else probability
    result = decided(given, spec(2, activation=activation, threshold=threshold), SAME)
    np.testing.assert_array_equal(result, probability[:, 0] > threshold)


def test_multi_label_sets_one_bit_per_class():
    x = scores(8)
    result = decided(x, spec(8, "multilabel"), SAME)
    assert (result.dtype, result.shape) == (np.uint8, (2, 32, 32, 1))
    for bit in range(8):
        np.testing.assert_array_equal(result[..., 0] >> bit & 1, x[:, bit] > 0)


@pytest.mark.parametrize("upsample", ["scores", "labels"])
def test_bit_k_of_byte_j_is_class_8j_plus_k(upsample):
    x = scores(29)
    found = decided(x, spec(29, "multilabel", upsample=upsample), SAME)
    assert found.shape == (2, 32, 32, 4)
    for index in range(29):
        np.testing.assert_array_equal(found[..., index // 8] >> (index % 8) & 1, x[:, index] > 0)
        np.testing.assert_array_equal(BitMasks(found, None).mask(index), x[:, index] > 0)
    assert not (found[..., 3] & 0b11100000).any(), "the spare bits are zero"


def test_bits_by_hand():
    masks = np.array([[1, 0, 0, 0, 0, 0, 0, 1, 0, 1]], bool)
    assert packed(masks).tolist() == [[0b10000001, 0b10]]
    assert unpacked(packed(masks), 10).tolist() == masks.tolist()
    assert mask_of(packed(masks), 9).tolist() == [True]


def test_each_class_has_its_own_threshold():
    x = np.full((1, 3, 32, 32), 0.45, np.float32)
    task = spec(3, "multilabel", activation="sigmoid", threshold=(0.3, 0.5, 0.44))
    assert decided(x, task, SAME)[0, 0, 0].tolist() == [0b101]
    logits = spec(3, "multilabel", threshold=(0.3, 0.5, 0.44))
    assert decided(np.log(x / (1 - x)), logits, SAME)[0, 0, 0].tolist() == [0b101]


@pytest.mark.parametrize(("task", "classes"), [("multilabel", 3), ("semantic", 2)])
def test_thresholds_that_do_not_fit_the_channels_are_refused(task, classes):
    channels = 3 if task == "multilabel" else 1
    with pytest.raises(ModelError, match="4 thresholds are stated"):
        decided(scores(channels), spec(classes, task, threshold=(0.1, 0.2, 0.3, 0.4)), SAME)


def test_a_semantic_network_of_more_than_256_classes_has_int32_maps():
    x = scores(300, (32, 32))
    found = decided(x, spec(300), SAME)
    assert found.dtype == np.int32 and found.max() > 255
    np.testing.assert_array_equal(found, x.argmax(1))
    assert decided(scores(256), spec(256), SAME).dtype == np.uint8


def test_a_task_tells_the_outputs_of_its_engine():
    def told(classes, task, *, confidence=False):
        about = spec(classes, task)
        return task_of(about).outputs(about, 2, (20, 30), confidence=confidence)

    assert told(256, "semantic") == (TensorInfo("class_map", "uint8", (2, 20, 30)),)
    assert told(257, "semantic") == (TensorInfo("class_map", "int32", (2, 20, 30)),)
    assert told(29, "multilabel", confidence=True) == (
        TensorInfo("bit_masks", "uint8", (2, 20, 30, 4)),
        TensorInfo("confidence", "float32", (2, 20, 30)),
    )


@pytest.mark.parametrize(
    ("task", "name", "value", "fault"),
    [
        ("semantic", "class_map", np.array([[[0, 5]]], np.uint8), "the class 5, of 5 classes"),
        ("multilabel", "bit_masks", np.array([[[[0b100000]]]], np.uint8), "the bit of class 5, of 5 classes"),
    ],
)
def test_outputs_that_no_such_network_gives_are_told(task, name, value, fault):
    about = spec(5, task)
    assert task_of(about).fault({name: value}, about) == fault
    assert task_of(about).fault({name: value & 0b11}, about) == ""


def test_an_unknown_task_lists_those_there_are():
    with pytest.raises(ModelError, match=r"no task 'multilable'\n.*multilabel, semantic.*\n.*'multilabel'"):
        task_of(spec(3, "multilable"))


def test_scores_of_a_smaller_head_are_brought_to_the_input_first():
    x = scores(4, (8, 8))
    expected = upsampled(x, (32, 32))[:, :, 6:26, 1:31].argmax(1)
    assert (decided(x, spec(4), PADDED) != expected).mean() < 1e-3


def test_scores_of_another_rank_are_refused():
    with pytest.raises(ModelError, match=r"\[N,C,H,W\]"):
        decided(scores(4)[0], spec(4), SAME)


def sure(values, spec):
    """The confidence of a single pixel with these scores, one per channel."""
    x = np.full((1, len(values), 32, 32), np.float32(0)) + np.float32(values)[None, :, None, None]
    found = task_of(spec).confidence(x, spec, SAME)
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
    np.testing.assert_allclose(task_of(spec()).confidence(x, spec(3), LETTERBOX), expected, atol=1e-4)
    few = np.exp(x[:, :, 5:26])
    chosen = torch.from_numpy((few / few.sum(axis=1, keepdims=True)).max(axis=1)[:, None])
    near = torch.nn.functional.interpolate(chosen, size=(100, 150), mode="nearest-exact").numpy()[:, 0]
    found = task_of(spec()).confidence(x, spec(3, upsample="labels"), LETTERBOX)
    np.testing.assert_allclose(found, near, atol=1e-6)
