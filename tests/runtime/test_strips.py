"""What is read in strips of rows is what the whole map gives."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.runtime import strips
from edgeseg.runtime.resize import bilinear, nearest
from edgeseg.runtime.seen import seen
from edgeseg.runtime.tasks import decided, task_of
from edgeseg.runtime.tasks.semantic import largest, two_best


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(strips, "STRIP", 900)


def scores(channels: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(channels).normal(size=(2, channels, *size)).astype(np.float32)


def test_strips_cover_each_row_once(small):
    assert list(strips.strips((2, 3, 7, 50))) == [(0, 3), (3, 6), (6, 7)]
    assert list(strips.strips((1, 5, 2, 4000))) == [(0, 1), (1, 2)]
    assert [len(range(2000)[part]) for part in strips.parts(2000)] == [900, 900, 200]


@pytest.mark.parametrize("upsample", ["scores", "labels"])
@pytest.mark.parametrize("size", [(64, 48), (16, 12)])
@pytest.mark.parametrize(("channels", "task"), [(1, "semantic"), (5, "semantic"), (5, "multilabel")])
@pytest.mark.parametrize("frame", [(64, 40), (100, 61), (30, 20)])
def test_a_class_map(small, upsample, size, channels, task, frame):
    post = Postprocess(upsample=upsample)
    classes = default_classes(max(2, channels))
    spec = ModelSpec(
        name="net",
        source=Source(kind="zoo", ref="net"),
        task=task,
        input_size=(64, 48),
        classes=classes,
        postprocess=post,
    )
    place = Preprocess(resize="letterbox", anchor="center").place(frame, (64, 48))
    given = scores(channels, size)
    (top, bottom), (left, right) = place.window
    inside = bilinear(given, (64, 48))[:, :, top:bottom, left:right]
    decide = task_of(spec).decide
    if upsample == "scores":
        expected = decide(bilinear(inside, frame), spec)
    else:
        expected = nearest(decide(inside, spec), frame)
    if task == "multilabel":
        expected = np.moveaxis(expected, 1, -1)
    np.testing.assert_array_equal(decided(given, spec, place), expected)


def test_the_largest_is_that_of_argmax_with_equals_and_what_is_not_a_number():
    given = np.random.default_rng(0).integers(0, 3, (2, 5, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(largest(given), given.argmax(1))
    given[0, 3, 2:5], given[1, 1, :2], given[1, 4, :2] = np.nan, -np.inf, np.inf
    np.testing.assert_array_equal(largest(given), given.argmax(1))


@pytest.mark.parametrize("channels", [2, 5, 300])
def test_the_two_best_are_those_of_argpartition(channels):
    given = scores(channels, (9, 7))
    found, expected = two_best(given), np.argpartition(given, -2, axis=1)[:, -2:]
    np.testing.assert_array_equal(found, expected)
    assert largest(given).dtype == (np.uint8 if channels <= 256 else np.int32)


def test_what_is_seen_of_an_output(small):
    given = scores(4, (30, 20))
    probabilities = np.exp(given) / np.exp(given).sum(1, keepdims=True)
    for value in (given, probabilities):
        found = seen(value)
        assert (found.low, found.high) == (value.min(), value.max()) and found.finite and found.any
    assert seen(probabilities).sums < 1e-6 and seen(given).sums == np.inf
    whole = np.floor(np.abs(scores(1, (40, 50)))) + 1
    assert seen(whole).whole and not seen(whole + 0.5).whole
    whole[1, 0, 39, 49] = np.nan
    assert not seen(whole).finite and not seen(whole).whole
