"""The threshold of each class that gives the best Dice."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.datasets.tasks import labels_of
from edgeseg.training.tasks import Tunes, training_of

SPEC = ModelSpec(
    name="net",
    source=Source(kind="onnx", ref="net"),
    task="multilabel",
    input_size=(1, 8),
    classes=default_classes(3),
    postprocess=Postprocess(activation="sigmoid"),
)


def bits(*values):
    """uint8 [1,W,1]."""
    return np.array([values], np.uint8)[..., None]


def tuned(label, *scores, spec=SPEC, ignore=None):
    given = np.array(scores, np.float32)[:, None]
    return training_of("multilabel").thresholds([(label, given)], spec, ignore)


def test_the_best_threshold_lies_between_what_is_and_what_is_not():
    """Class 0 is there from 0.28 on, class 1 from 0.91 on; class 2 is nowhere, and keeps its own."""
    label = bits(0b00, 0b01, 0b11, 0b11)
    found = tuned(label, [0.2, 0.28, 0.6, 0.9], [0.1, 0.88, 0.91, 0.99], [0.6, 0.7, 0.8, 0.9])
    assert found == (0.25, 0.9, 0.5)


def test_of_equal_thresholds_the_one_nearest_to_the_stated_remains():
    label = bits(0, 0, 1, 1)
    assert tuned(label, [0.1, 0.2, 0.8, 0.9], *[[0.1] * 4] * 2)[0] == 0.5
    stated = msgspec.structs.replace(SPEC, postprocess=Postprocess(activation="sigmoid", threshold=0.7))
    assert tuned(label, [0.1, 0.2, 0.8, 0.9], *[[0.1] * 4] * 2, spec=stated)[0] == 0.7


def test_logits_are_compared_as_logits_and_ignored_pixels_left_out():
    logits = msgspec.structs.replace(SPEC, postprocess=Postprocess())
    label = bits(0b1000, 0b0000, 0b0001, 0b0001)
    values = np.array([0.9, 0.2, 0.28, 0.3], np.float32)
    given = np.log(values / (1 - values))
    found = tuned(label, given, *[[-9.0] * 4] * 2, spec=logits, ignore=3)
    assert found[0] == pytest.approx(0.25)


def test_a_label_without_the_ignored_bit_counts_as_a_whole():
    """The recipe states it, for labels of 3 classes in one byte that do not have it."""
    label = bits(0b00, 0b01, 0b11, 0b11)
    scores = [0.2, 0.28, 0.6, 0.9], [0.1, 0.88, 0.91, 0.99], [0.6, 0.7, 0.8, 0.9]
    assert tuned(label, *scores, ignore=8) == tuned(label, *scores)
    drawn = training_of("multilabel").drawn(label, 3, 8)
    assert (drawn[..., -1] == 1).all() and np.array_equal(drawn[..., :1], label)
    assert not labels_of("multilabel").ignored(label, 8).any()


def test_a_task_that_decides_between_classes_has_none():
    assert isinstance(training_of("multilabel"), Tunes) and not isinstance(training_of("semantic"), Tunes)
