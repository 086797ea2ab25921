from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator
from small_graphs import model_of, network, outputs_of

from edgeseg.errors import GraphError
from edgeseg.graph.fp16 import measure_maxima, to_fp16
from edgeseg.graph.half import check_half, rounded_to_half

IMAGE = np.random.default_rng(1).normal(0, 1, (1, 3, 16, 20)).astype(np.float32)


def growing(factor):
    nodes = [
        helper.make_node("Mul", ["image", "factor"], ["large"], name="grow"),
        helper.make_node("Div", ["large", "factor"], ["scores"], name="shrink"),
    ]
    return model_of(nodes, {"factor": np.float32(factor)})


def test_what_overflows_on_a_device_shows():
    half, _ = to_fp16(growing(6e4), {})
    feed = IMAGE * 100
    with np.errstate(over="ignore"):
        (expected,) = ReferenceEvaluator(half).run(None, {"image": feed})
    assert np.isfinite(outputs_of(half, feed)["scores"]).all() and not np.isfinite(expected).all()
    np.testing.assert_array_equal(outputs_of(rounded_to_half(half), feed)["scores"], expected)


def test_values_are_rounded_behind_each_node():
    half, _ = to_fp16(network(size=(16, 20)), {})
    (expected,) = ReferenceEvaluator(half).run(None, {"image": IMAGE})
    found = outputs_of(rounded_to_half(half), IMAGE)["scores"]
    np.testing.assert_array_equal(found, found.astype(np.float16))
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_the_node_where_values_are_lost_is_named():
    model, feeds = growing(6e4), [{"image": IMAGE * 100}]
    maxima = measure_maxima(model, feeds)
    check_half(to_fp16(model, maxima)[0], maxima, feeds)
    with pytest.raises(GraphError, match=r"Mul 'grow' gives NaN or infinity in fp16, in fp32 at most 2.25e"):
        check_half(to_fp16(model, {})[0], maxima, feeds)
