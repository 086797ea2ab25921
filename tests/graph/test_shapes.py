from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgeseg.graph.shapes import LARGE, element_types, static_shapes, with_shapes

WEIGHT = (16, 3, 9, 9)


def network(*, old: bool = False) -> ModelProto:
    """A convolution with a large weight, then a Reshape by a constant. `old`: the weight is an input too."""
    weight = numpy_helper.from_array(np.ones(WEIGHT, np.float32), "weight")
    shape = numpy_helper.from_array(np.array([1, 4, -1, 6], np.int64), "shape")
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 8, 6))]
    if old:
        inputs.append(helper.make_tensor_value_info("weight", TensorProto.FLOAT, WEIGHT))
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["map"], pads=[4] * 4),
        helper.make_node("Reshape", ["map", "shape"], ["parts"]),
        helper.make_node("Cast", ["parts"], ["half"], to=TensorProto.FLOAT16),
    ]
    outputs = [helper.make_tensor_value_info("half", TensorProto.FLOAT16, None)]
    graph = helper.make_graph(nodes, "net", inputs, outputs, [weight, shape])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("old", [False, True])
def test_shapes_follow_from_weights_and_constants(old: bool) -> None:
    assert np.prod(WEIGHT) > LARGE
    expected = {"image": (1, 3, 8, 6), "weight": WEIGHT, "map": (1, 16, 8, 6), "parts": (1, 4, 32, 6)}
    assert static_shapes(network(old=old)).items() >= expected.items()
    assert element_types(network(old=old))["half"] == TensorProto.FLOAT16


def test_a_model_gets_shapes_names_and_keeps_the_rest() -> None:
    made, expected = with_shapes(network()), network()
    assert {value.name for value in made.graph.value_info} == {"map", "parts"}
    assert [d.dim_value for d in made.graph.output[0].type.tensor_type.shape.dim] == [1, 4, 32, 6]
    assert len({node.name for node in made.graph.node} - {""}) == 3
    assert list(made.graph.initializer) == list(expected.graph.initializer)
    assert list(made.graph.input) == list(expected.graph.input)
    onnx.checker.check_model(made, full_check=True)
