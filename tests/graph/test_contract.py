from __future__ import annotations

import pytest
from onnx import TensorProto, helper
from small_graphs import model_of

from edgeseg.core.postprocess import Postprocess
from edgeseg.errors import GraphError
from edgeseg.graph.contract import detect, resolve_output


def one(*nodes, **options):
    (found,) = detect(model_of(list(nodes), **options))
    return found


def test_a_sigmoid_behind_a_resize_is_found():
    found = one(
        helper.make_node("Sigmoid", ["image"], ["p"], name="act"),
        helper.make_node("Identity", ["p"], ["scores"]),
    )
    assert (found.activation, found.score_map) == ("sigmoid", True)
    assert "Sigmoid 'act'" in found.evidence


def test_a_softmax_over_the_channels_is_found_and_another_axis_is_not():
    assert one(helper.make_node("Softmax", ["image"], ["scores"], axis=1)).activation == "softmax"
    assert one(helper.make_node("Softmax", ["image"], ["scores"], axis=2)).activation == "sigmoid"


def test_values_decide_where_no_operator_tells():
    assert one(helper.make_node("Tanh", ["image"], ["scores"])).activation == "logits"
    squash = [helper.make_node("Erf", ["image"], ["e"]), helper.make_node("Abs", ["e"], ["scores"])]
    found = one(*squash)
    assert found.activation == "sigmoid" and "values between" in found.evidence
    soft = [
        helper.make_node("Exp", ["image"], ["e"]),
        helper.make_node("ReduceL1", ["e"], ["s"], axes=[1]),
        helper.make_node("Div", ["e", "s"], ["scores"]),
    ]
    assert one(*soft, opset=13).activation == "softmax"


def several():
    nodes = [
        helper.make_node("MaxPool", ["image"], ["small"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Relu", ["image"], ["first"]),
        helper.make_node("Sigmoid", ["image"], ["second"]),
        helper.make_node("GlobalAveragePool", ["image"], ["vector"]),
    ]
    return model_of(nodes, outputs=("small", "first", "second", "vector"))


def test_of_several_outputs_the_first_of_the_largest_counts():
    contract, channels, notes = resolve_output(several(), Postprocess())
    assert (contract.output, contract.activation, channels) == ("first", "logits", 3)
    assert any("of 4 outputs" in n and "'first'" in n for n in notes)


def test_what_the_user_states_is_kept():
    wanted = Postprocess(output="second", activation="logits", threshold=0.3)
    contract, _, notes = resolve_output(several(), wanted, given={"output", "activation", "threshold"})
    assert contract == wanted and notes == ()
    assert resolve_output(several(), wanted, given={"output"})[0].activation == "sigmoid"


def test_a_stated_output_that_does_not_exist():
    with pytest.raises(GraphError, match=r"'mask' does not exist\n.*small \[1, 3, 8, 10\]"):
        resolve_output(several(), Postprocess(output="mask"), given={"output"})


def test_labels_instead_of_scores_are_refused():
    nodes = [helper.make_node("ArgMax", ["image"], ["scores"], axis=1, keepdims=0)]
    model = model_of(nodes, output_dtype=TensorProto.INT64)
    with pytest.raises(GraphError, match="no output of the network is a score map"):
        resolve_output(model, Postprocess())
