from __future__ import annotations

import numpy as np
import pytest

from edgeseg.runtime.activation import Activation, activation_of
from edgeseg.runtime.seen import seen


def activation_of_values(scores: np.ndarray) -> Activation:
    return activation_of([seen(scores)])


@pytest.mark.parametrize("channels", [1, 5])
def test_it_is_read_from_the_values(channels: int):
    logits = np.random.default_rng(0).normal(size=(2, channels, 6, 6)).astype(np.float32)
    assert activation_of_values(logits) == "logits"
    assert activation_of_values(1 / (1 + np.exp(-logits))) == "sigmoid"


def test_softmax_sums_to_one():
    logits = np.random.default_rng(0).normal(size=(2, 5, 6, 6))
    exponentials = np.exp(logits)
    assert activation_of_values(exponentials / exponentials.sum(1, keepdims=True)) == "softmax"


def test_zeros_alone_tell_nothing_and_nan_is_no_probability():
    assert activation_of_values(np.zeros((1, 3, 4, 4), np.float32)) == "logits"
    assert activation_of_values(np.full((1, 3, 4, 4), np.nan, np.float32)) == "logits"
