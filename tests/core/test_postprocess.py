from __future__ import annotations

import math

import pytest

from edgeseg.core.documents import convert
from edgeseg.core.postprocess import Postprocess
from edgeseg.errors import InputError


def test_half_is_zero_in_logits():
    assert Postprocess().score_thresholds(2) == (0.0, 0.0)


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.5, 0.9])
def test_the_score_threshold_is_the_probability_in_the_units_of_the_network(threshold):
    (logit,) = Postprocess(threshold=threshold).score_thresholds(1)
    assert math.isclose(1 / (1 + math.exp(-logit)), threshold)
    assert Postprocess(threshold=threshold, activation="sigmoid").score_thresholds(1) == (threshold,)
    assert Postprocess(threshold=threshold, activation="softmax").score_thresholds(1) == (threshold,)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, 40.0, float("nan")])
def test_a_threshold_outside_0_and_1_is_shown(threshold):
    with pytest.raises(InputError, match=f"threshold is {threshold}"):
        convert({"threshold": threshold}, Postprocess, where="postprocess")


def test_an_unknown_activation_is_shown():
    with pytest.raises(InputError, match="'relu'"):
        convert({"activation": "relu"}, Postprocess, where="postprocess")
