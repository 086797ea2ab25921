from __future__ import annotations

import numpy as np
import pytest

from edgeseg.models.output_rule import activation_of, score_output


def test_the_largest_float_map_counts_and_the_first_of_equals():
    outputs = {
        "classes": np.zeros((1, 10), np.float32),
        "coarse": np.zeros((1, 3, 8, 8), np.float32),
        "labels": np.zeros((1, 1, 64, 64), np.int64),
        "fused": np.zeros((1, 3, 32, 32), np.float32),
        "side": np.zeros((1, 3, 32, 32), np.float32),
    }
    assert score_output(outputs) == "fused"


def test_no_score_map():
    assert score_output({"classes": np.zeros((1, 10), np.float32)}) is None


@pytest.mark.parametrize("channels", [1, 5])
def test_activation_is_read_from_the_values(channels: int):
    logits = np.random.default_rng(0).normal(size=(2, channels, 6, 6)).astype(np.float32)
    assert activation_of(logits) == "logits"
    assert activation_of(1 / (1 + np.exp(-logits))) == "sigmoid"


def test_softmax_sums_to_one():
    logits = np.random.default_rng(0).normal(size=(2, 5, 6, 6))
    exponentials = np.exp(logits)
    assert activation_of(exponentials / exponentials.sum(1, keepdims=True)) == "softmax"
