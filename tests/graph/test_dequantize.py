"""A Q/DQ graph without its levels: its weights are what their levels say, and nothing else is rounded."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper
from small_graphs import model_of, outputs_of

from edgeseg.graph.dequantize import dequantized

random = np.random.default_rng(0)
IMAGE = random.normal(0, 1, (1, 3, 16, 20)).astype(np.float32)
LEVELS = random.integers(-127, 128, (4, 3, 3, 3), np.int8)
SCALES = np.array([0.01, 0.02, 0.03, 0.04], np.float32)


def operators(model):
    return [node.op_type for node in model.graph.node]


def convolution(scale, axis, dtype=np.int8, zero=0):
    """Q, DQ, Conv with weights in int8, and Q, DQ behind it; steps so wide that all of them show."""
    constants = {
        "step": np.float32(0.5), "zero": dtype(zero), "levels": LEVELS,
        "scale": scale, "zeros": np.zeros(scale.shape, np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "step", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["dq"]),
        helper.make_node("DequantizeLinear", ["levels", "scale", "zeros"], ["weight"], axis=axis),
        helper.make_node("Conv", ["dq", "weight"], ["made"], pads=[1] * 4),
        helper.make_node("QuantizeLinear", ["made", "step", "zero"], ["q2"]),
        helper.make_node("DequantizeLinear", ["q2", "step", "zero"], ["read"]),
        helper.make_node("Relu", ["read"], ["scores"]),
    ]
    return model_of(nodes, constants)


@pytest.mark.parametrize(
    ("scale", "axis"), [(SCALES, 0), (SCALES[:3], 1), (SCALES[:3], -3), (np.float32(0.02), 1)]
)
@pytest.mark.parametrize(("dtype", "zero"), [(np.int8, 0), (np.uint8, 128)])
def test_pairs_go_and_weights_are_their_levels(scale, axis, dtype, zero):
    model = dequantized(convolution(np.asarray(scale), axis, dtype, zero))
    assert operators(model) == ["Conv", "Relu"]
    shape = [1] * 4
    if np.ndim(scale):
        shape[axis] = -1
    plain = [
        helper.make_node("Conv", ["image", "weight"], ["made"], pads=[1] * 4),
        helper.make_node("Relu", ["made"], ["scores"]),
    ]
    wanted = model_of(plain, {"weight": LEVELS * np.reshape(scale, shape).astype(np.float32)})
    np.testing.assert_array_equal(outputs_of(model, IMAGE)["scores"], outputs_of(wanted, IMAGE)["scores"])


def test_levels_that_a_decision_reads_stay():
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "step", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["scores"]),
        helper.make_node("Cast", ["q"], ["read"], to=TensorProto.FLOAT),
    ]
    model = model_of(nodes, {"step": np.float32(0.5), "zero": np.uint8(128)}, outputs=("read", "scores"))
    found = outputs_of(dequantized(model), IMAGE)
    expected = outputs_of(model, IMAGE)
    assert all((found[name] == expected[name]).all() for name in expected)
