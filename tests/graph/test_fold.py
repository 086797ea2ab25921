from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from small_graphs import model_of, operators, outputs_of

from edgeseg.graph.fold import fold

IMAGE = np.random.default_rng(1).normal(0, 1, (1, 3, 16, 20)).astype(np.float32)


def normal(rng, *shape):
    return rng.normal(0, 0.5, shape).astype(np.float32)


def batch_norm(data, output, channels, rng):
    node = helper.make_node(
        "BatchNormalization", [data, "g", "b", "m", "v"], [output], name="bn", epsilon=1e-3
    )
    values = {"g": normal(rng, channels), "b": normal(rng, channels), "m": normal(rng, channels)}
    return node, {**values, "v": rng.uniform(0.2, 3, channels).astype(np.float32)}


def conv(inputs, output, **attributes):
    return helper.make_node("Conv", inputs, [output], name=f"conv_{output}", **attributes)


def require_equal(model, expected_operators):
    folded = fold(model)
    assert operators(folded) == expected_operators
    for (name, old), new in zip(outputs_of(model, IMAGE).items(), outputs_of(folded, IMAGE).values()):
        np.testing.assert_allclose(new, old, atol=2e-5 * np.abs(old).max(), err_msg=name)
    return folded


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 3])
def test_batch_norm_into_conv(random, bias, groups):
    bn, constants = batch_norm("a", "scores", 6, random)
    constants |= {"w": normal(random, 6, 3 // groups, 3, 3), "c": normal(random, 6)}
    inputs = ["image", "w", "c"] if bias else ["image", "w"]
    require_equal(model_of([conv(inputs, "a", group=groups), bn], constants), ["Conv"])


@pytest.mark.parametrize("groups", [1, 3])
def test_batch_norm_into_transposed_conv_along_its_own_axis(random, groups):
    bn, constants = batch_norm("a", "scores", 6, random)
    constants["w"] = normal(random, 3, 6 // groups, 2, 2)
    up = helper.make_node("ConvTranspose", ["image", "w"], ["a"], name="up", group=groups, strides=[2, 2])
    require_equal(model_of([up, bn], constants), ["ConvTranspose"])


def test_a_chain_of_mul_add_and_batch_norm(random):
    bn, constants = batch_norm("s", "scores", 4, random)
    constants |= {
        "w": normal(random, 4, 3, 3, 3),
        "k": normal(random, 4, 1, 1),
        "o": normal(random, 1, 4, 1, 1),
        "d": np.array(2.5, np.float32),
    }
    nodes = [
        conv(["image", "w"], "a"),
        helper.make_node("Mul", ["k", "a"], ["p"]),
        helper.make_node("Add", ["p", "o"], ["q"]),
        helper.make_node("Div", ["q", "d"], ["s"]),
        bn,
    ]
    require_equal(model_of(nodes, constants), ["Conv"])


def test_weights_shared_by_two_convolutions_stay_as_they_were(random):
    bn, constants = batch_norm("a", "x", 3, random)
    constants["w"] = normal(random, 3, 3, 1, 1)
    nodes = [
        conv(["image", "w"], "a"),
        bn,
        conv(["image", "w"], "y"),
        helper.make_node("Add", ["x", "y"], ["scores"]),
    ]
    require_equal(model_of(nodes, constants), ["Conv", "Conv", "Add"])


def test_a_convolution_with_two_readers_is_left_alone(random):
    bn, constants = batch_norm("a", "x", 3, random)
    constants["w"] = normal(random, 3, 3, 1, 1)
    nodes = [conv(["image", "w"], "a"), bn, helper.make_node("Add", ["x", "a"], ["scores"])]
    require_equal(model_of(nodes, constants), ["Conv", "BatchNormalization", "Add"])


def test_a_convolution_the_graph_returns_is_left_alone(random):
    bn, constants = batch_norm("a", "scores", 3, random)
    constants["w"] = normal(random, 3, 3, 1, 1)
    require_equal(
        model_of([conv(["image", "w"], "a"), bn], constants, outputs=("a", "scores")),
        ["Conv", "BatchNormalization"],
    )


@pytest.mark.parametrize("shape", [(16, 1), (1, 1, 16, 20), (1, 3, 16, 20)])
def test_a_factor_that_is_not_per_channel_stays(random, shape):
    constants = {"w": normal(random, 3, 3, 1, 1), "k": normal(random, *shape)}
    nodes = [conv(["image", "w"], "a"), helper.make_node("Mul", ["a", "k"], ["scores"])]
    require_equal(model_of(nodes, constants), ["Conv", "Mul"])


def pad(value=0.0, pads=(0, 0, 1, 0, 0, 0, 2, 3), mode="constant", source="image"):
    constants = {"pads": np.array(pads, np.int64), "value": np.array(value, np.float32)}
    return helper.make_node("Pad", [source, "pads", "value"], ["p"], name="pad", mode=mode), constants


def test_asymmetric_zero_pad_into_conv_adds_up(random):
    node, constants = pad()
    constants["w"] = normal(random, 4, 3, 3, 3)
    folded = require_equal(
        model_of([node, conv(["p", "w"], "scores", pads=[1, 1, 0, 0])], constants), ["Conv"]
    )
    attributes = {a.name: helper.get_attribute_value(a) for a in folded.graph.node[0].attribute}
    assert list(attributes["pads"]) == [2, 1, 2, 3]


def test_pad_with_axes_and_two_convolutions(random):
    constants = {
        "pads": np.array([1, 2, 1, 2], np.int64),
        "axes": np.array([-2, 3], np.int64),
        "w": normal(random, 2, 3, 3, 3),
        "u": normal(random, 2, 3, 3, 3),
    }
    nodes = [
        helper.make_node("Pad", ["image", "pads", "", "axes"], ["p"]),
        conv(["p", "w"], "x"),
        conv(["p", "u"], "y"),
        helper.make_node("Add", ["x", "y"], ["scores"]),
    ]
    require_equal(model_of(nodes, constants), ["Conv", "Conv", "Add"])


@pytest.mark.parametrize(
    "arguments",
    [
        {"value": 0.5},
        {"mode": "reflect"},
        {"pads": (0, 0, -1, 0, 0, 0, 2, 3)},
        {"pads": (0, 1, 1, 0, 0, 0, 2, 3)},
    ],
    ids=["value", "reflect", "negative", "channels"],
)
def test_a_pad_that_is_not_spatial_zeros_stays(random, arguments):
    node, constants = pad(**arguments)
    constants["w"] = normal(random, 4, 4 if arguments.get("pads", (0, 0))[1] else 3, 3, 3)
    require_equal(model_of([node, conv(["p", "w"], "scores")], constants), ["Pad", "Conv"])


def test_a_pad_something_else_reads_too_stays(random):
    node, constants = pad()
    constants["w"] = normal(random, 4, 3, 3, 3)
    nodes = [node, conv(["p", "w"], "scores"), helper.make_node("Relu", ["p"], ["other"])]
    require_equal(model_of(nodes, constants, outputs=("scores", "other")), ["Pad", "Conv", "Relu"])


def test_pad_into_a_max_pool_only_behind_a_relu():
    for head, expected in ((["Relu"], ["Relu", "MaxPool"]), (["Neg"], ["Neg", "Pad", "MaxPool"])):
        node, constants = pad(pads=(0, 0, 1, 1, 0, 0, 1, 1), source="x")
        nodes = [
            helper.make_node(head[0], ["image"], ["x"]),
            node,
            helper.make_node("MaxPool", ["p"], ["scores"], kernel_shape=[3, 3], strides=[2, 2]),
        ]
        require_equal(model_of(nodes, constants), expected)


def test_pad_into_an_average_pool_counts_the_padding():
    node, constants = pad(pads=(0, 0, 1, 1, 0, 0, 1, 1))
    pool = helper.make_node("AveragePool", ["p"], ["scores"], kernel_shape=[3, 3])
    require_equal(model_of([node, pool], constants), ["AveragePool"])


def test_identity_and_dropout_disappear_but_outputs_keep_their_names():
    nodes = [
        helper.make_node("Identity", ["image"], ["i"]),
        helper.make_node("Dropout", ["i"], ["d"]),
        helper.make_node("Identity", ["d"], ["e"]),
        helper.make_node("Relu", ["e"], ["scores"]),
    ]
    folded = require_equal(model_of(nodes), ["Relu"])
    assert [o.name for o in folded.graph.output] == ["scores"]


def test_the_model_given_is_not_changed(random):
    bn, constants = batch_norm("a", "scores", 3, random)
    constants["w"] = normal(random, 3, 3, 1, 1)
    model = model_of([conv(["image", "w"], "a"), bn], constants)
    before = model.SerializeToString()
    fold(model)
    assert model.SerializeToString() == before
