"""Rounding a graph leaves alone what it cannot round."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeseg.graph.reference import run, session
from edgeseg.graph.rounding import round_to, rounded


def chosen(least: float) -> onnx.ModelProto:
    """The greater of an input and a constant, times one."""
    arrays = {"least": np.float32(least), "one": np.float32(1)}
    nodes = [helper.make_node("Where", ["given", "image", "least"], ["where"])]
    nodes.append(helper.make_node("Mul", ["where", "one"], ["scores"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [4])
    given = helper.make_tensor_value_info("given", TensorProto.BOOL, [4])
    out = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [4])
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()]
    graph = helper.make_graph(nodes, "chosen", [image, given], [out], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_the_least_float_stays_where_nothing_counts():
    least = float(np.finfo(np.float32).min)
    values = np.array([0.1, -3.3, 1e-9, 7.0], np.float32)
    feeds = {"image": values, "given": np.array([True, True, True, False])}
    found = run(session(rounded(chosen(least), 8)), feeds)["scores"]
    np.testing.assert_array_equal(found, [*round_to(values[:3], 8), np.float32(least)])
