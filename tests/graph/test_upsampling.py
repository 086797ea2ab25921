from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.graph.editor import shape_of
from edgeseg.graph.info import graph_info
from edgeseg.graph.reference import run, session
from edgeseg.graph.upsampling import merge_upsampling

RNG = np.random.default_rng(0)


def decoder(
    *,
    coordinates: str = "asymmetric",
    rounding: str = "floor",
    mode: str = "nearest",
    factor: float = 2.0,
    skip: bool = True,
    bias: bool = True,
    pads: tuple[int, ...] = (1, 1, 1, 1),
    keep_large: bool = False,
) -> onnx.ModelProto:
    """small [2,5,6,7] -> Resize (-> Concat with skip [2,3,12,14]) -> Conv to 4 channels."""
    side = (int(6 * factor), int(7 * factor))
    weight = RNG.standard_normal((4, 8 if skip else 5, 3, 3)).astype(np.float32)
    constants = {
        "scales": np.array([1, 1, factor, factor], np.float32),
        "weight": weight,
        "bias": RNG.standard_normal(4).astype(np.float32),
    }
    resize = helper.make_node(
        "Resize",
        ["small", "", "scales"],
        ["large"],
        name="up",
        mode=mode,
        coordinate_transformation_mode=coordinates,
        nearest_mode=rounding,
    )
    nodes = [resize]
    if skip:
        nodes.append(helper.make_node("Concat", ["large", "skip"], ["joined"], name="cat", axis=1))
    inputs = ["joined" if skip else "large", "weight", *(["bias"] if bias else [])]
    nodes.append(helper.make_node("Conv", inputs, ["y"], name="conv", pads=pads))
    values = [helper.make_tensor_value_info("small", TensorProto.FLOAT, [2, 5, 6, 7])]
    values += [helper.make_tensor_value_info("skip", TensorProto.FLOAT, [2, 3, *side])] if skip else []
    shape = [2, 4, side[0] + pads[0] + pads[2] - 2, side[1] + pads[1] + pads[3] - 2]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    outputs += (
        [helper.make_tensor_value_info("large", TensorProto.FLOAT, [2, 5, *side])] if keep_large else []
    )
    graph = helper.make_graph(
        nodes, "g", values, outputs, [numpy_helper.from_array(v, k) for k, v in constants.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("coordinates", "rounding"),
    [
        ("asymmetric", "floor"),
        ("half_pixel", "round_prefer_floor"),
        ("pytorch_half_pixel", "round_prefer_ceil"),
    ],
)
def test_same_values_from_fewer_multiplications(skip, bias, coordinates, rounding):
    model = decoder(coordinates=coordinates, rounding=rounding, skip=skip, bias=bias)
    merged = merge_upsampling(model)
    feeds = {i.name: RNG.standard_normal(shape_of(i), np.float32) for i in model.graph.input}
    expected, found = run(session(model), feeds)["y"], run(session(merged), feeds)["y"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert "Resize" not in operators(merged) and "ConvTranspose" in operators(merged)
    assert graph_info(merged).macs < graph_info(model).macs


@pytest.mark.parametrize(
    "different",
    [
        {"mode": "linear", "coordinates": "half_pixel"},
        {"coordinates": "half_pixel", "rounding": "floor"},
        {"factor": 3.0},
        {"pads": (0, 0, 0, 0)},
        {"keep_large": True},
    ],
)
def test_what_would_not_be_exact_or_would_not_pay_stays(different):
    model = decoder(**different)
    assert operators(merge_upsampling(model)) == operators(model)
