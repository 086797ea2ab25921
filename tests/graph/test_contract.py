from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper
from small_graphs import model_of

from edgeseg.core.postprocess import Postprocess
from edgeseg.errors import GraphError
from edgeseg.graph.contract import resolve_output


def one(*nodes, **options):
    contract, _, notes = resolve_output(model_of(list(nodes), **options), Postprocess())
    return contract.activation, notes[-1]


def test_a_sigmoid_behind_a_resize_is_found():
    activation, note = one(
        helper.make_node("Sigmoid", ["image"], ["p"], name="act"),
        helper.make_node("Identity", ["p"], ["scores"]),
    )
    assert activation == "sigmoid" and "Sigmoid 'act'" in note


def test_a_softmax_over_the_channels_is_found_and_another_axis_is_not():
    assert one(helper.make_node("Softmax", ["image"], ["scores"], axis=1))[0] == "softmax"
    assert one(helper.make_node("Softmax", ["image"], ["scores"], axis=2))[0] == "sigmoid"


def test_values_decide_where_no_operator_tells():
    assert one(helper.make_node("Tanh", ["image"], ["scores"]))[0] == "logits"
    squash = [helper.make_node("Erf", ["image"], ["e"]), helper.make_node("Abs", ["e"], ["scores"])]
    activation, note = one(*squash)
    assert activation == "sigmoid" and "values between" in note
    soft = [
        helper.make_node("Exp", ["image"], ["e"]),
        helper.make_node("ReduceL1", ["e"], ["s"], axes=[1]),
        helper.make_node("Div", ["e", "s"], ["scores"]),
    ]
    assert one(*soft, opset=13)[0] == "softmax"


def several():
    nodes = [
        helper.make_node("MaxPool", ["image"], ["small"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Relu", ["image"], ["first"]),
        helper.make_node("Sigmoid", ["image"], ["second"]),
        helper.make_node("GlobalAveragePool", ["image"], ["vector"]),
    ]
    return model_of(nodes, outputs=("small", "first", "second", "vector"))


def test_of_several_outputs_the_largest_counts_and_two_of_one_size_are_asked_for():
    model = several()
    with pytest.raises(GraphError, match=r"2 outputs are equally large: 'first'.*'second'") as caught:
        resolve_output(model, Postprocess())
    assert "--set output=NAME" in caught.value.hint
    del model.graph.output[2]
    contract, channels, notes = resolve_output(model, Postprocess())
    assert (contract.output, contract.activation, channels) == ("first", "logits", 3)
    assert any("of 3 outputs" in n and "'first' counts" in n for n in notes)


def test_what_the_user_states_is_kept():
    wanted = Postprocess(output="second", activation="logits", threshold=0.3)
    contract, _, notes = resolve_output(several(), wanted, given={"output", "activation", "threshold"})
    assert contract == wanted and notes == ()
    assert resolve_output(several(), wanted, given={"output"})[0].activation == "sigmoid"


def test_a_stated_output_that_does_not_exist():
    with pytest.raises(GraphError, match=r"no output 'mask'\n.*'small' float32 \[1, 3, 8, 10\]"):
        resolve_output(several(), Postprocess(output="mask"), given={"output"})


def test_labels_instead_of_scores_are_refused():
    nodes = [helper.make_node("ArgMax", ["image"], ["scores"], axis=1, keepdims=0)]
    model = model_of(nodes, output_dtype=TensorProto.INT64)
    with pytest.raises(GraphError, match=r"no score map: the output 'scores' int64 .* class ids"):
        resolve_output(model, Postprocess())


def test_labels_as_floats_are_refused_even_where_they_are_all_zero():
    nodes = [
        helper.make_node("Relu", ["image"], ["first"]),
        helper.make_node("Mul", ["first", "weights"], ["weighted"]),
        helper.make_node("ArgMax", ["weighted"], ["ids"], axis=1, keepdims=1),
        helper.make_node("Cast", ["ids"], ["scores"], to=TensorProto.FLOAT),
    ]
    zero = np.array([1, 0, 0], np.float32).reshape(1, 3, 1, 1)
    with pytest.raises(GraphError, match=r"'scores' float32 .* class ids"):
        resolve_output(model_of(nodes, {"weights": zero}), Postprocess())


def test_channels_last_is_refused():
    nodes = [helper.make_node("Transpose", ["image"], ["scores"], perm=[0, 2, 3, 1])]
    with pytest.raises(GraphError, match="channels last"):
        resolve_output(model_of(nodes), Postprocess())


def test_a_map_of_the_centre_is_stretched_only_where_it_is_stated():
    nodes = [helper.make_node("AveragePool", ["image"], ["scores"], kernel_shape=[5, 5])]
    with pytest.raises(GraphError, match="12x16 for an input of 16x20"):
        resolve_output(model_of(nodes), Postprocess())
    stated = resolve_output(model_of(nodes), Postprocess(stretch=True), given={"stretch"})[0]
    assert (stated.output, stated.stretch) == ("scores", True)
