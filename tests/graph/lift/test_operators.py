"""What the node tests leave out: older opsets, and attributes in the settings networks use."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from edgeseg.errors import UnsupportedOperator
from edgeseg.graph.lift import lift


def ints(*values):
    return np.array(values, np.int64)


def noise(*shape):
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


OLD = [
    (10, "Slice", {"starts": ints(1, -3), "ends": ints(4, 99), "axes": ints(2, 3)}, {}),
    (9, "Slice", {}, {"starts": [1, -3], "ends": [4, 99], "axes": [2, 3]}),
    (9, "Squeeze", {}, {"axes": [0]}),
    (9, "Unsqueeze", {}, {"axes": [1, 3]}),
    (9, "Clip", {}, {"min": -0.5, "max": 0.5}),
    (9, "Clip", {}, {"max": 0.5}),
    (9, "Pad", {}, {"pads": [0, 0, 1, 2, 0, 0, 0, 1], "value": 2.0}),
    (9, "Pad", {}, {"pads": [0, 0, 1, 2, 0, 0, 0, 1], "mode": "reflect"}),
    (11, "ReduceSum", {}, {"axes": [1, 3], "keepdims": 0}),
    (11, "ReduceMean", {}, {"axes": [-1]}),
    (11, "ReduceL2", {}, {}),
    (11, "Softmax", {}, {"axis": 1}),
    (11, "Softmax", {}, {}),
    (11, "LogSoftmax", {}, {"axis": 2}),
    (11, "Hardmax", {}, {"axis": 2}),
    (7, "Dropout", {}, {}),
    (7, "Upsample", {}, {"scales": [1.0, 1.0, 2.0, 2.0]}),
    (10, "Resize", {"scales": np.array([1, 1, 2, 1.5], np.float32)}, {"mode": "linear"}),
    (10, "Resize", {"scales": np.array([1, 1, 2, 1.5], np.float32)}, {}),
    (8, "Flatten", {}, {"axis": 2}),
]


@pytest.mark.parametrize(("opset", "op", "constants", "attributes"), OLD, ids=lambda v: str(v)[:40])
def test_older_opsets(make, agree, opset, op, constants, attributes):
    agree(make([(op, ["x", *constants], attributes)], {"x": (1, 4, 5, 6)}, constants, opset=opset))


def test_split_by_attribute_and_top_k_of_old_opsets(make, agree):
    split = [("Split", ["x"], {"axis": 1, "split": [1, 3]}, ["a", "b"])]
    agree(make(split, {"x": (1, 4, 5)}, opset=11, outputs=("a", "b")))
    top = [("TopK", ["x"], {"axis": 1, "k": 2}, ["v", "i"])]
    agree(make(top, {"x": (1, 4, 5)}, opset=9, outputs=("v", "i")))


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
@pytest.mark.parametrize(
    "pads", [[0, 0, 1, 2, 0, 0, 2, 1], [0, 1, 0, 0, 0, 1, 0, 3], [0, 0, 4, 3, 0, 0, 4, 0]], ids=str
)
def test_pad_modes(make, agree, mode, pads):
    agree(make([("Pad", ["x", "p"], {"mode": mode})], {"x": (1, 3, 5, 6)}, {"p": ints(*pads)}, opset=19))


@pytest.mark.parametrize(
    ("low", "high", "kind"), [(0, 6, nn.ReLU6), (0, None, nn.ReLU), (-1, 1, nn.Hardtanh)]
)
def test_clip_becomes_the_activation_it_is(make, agree, low, high, kind):
    limits = {"low": np.float32(low).reshape(())}
    if high is not None:
        limits["high"] = np.float32(high).reshape(())
    lifted = agree(make([("Clip", ["x", *limits], {})], {"x": (2, 3)}, limits))
    assert type(next(lifted.children())) is kind


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("corners", [0, 1])
def test_grid_sample(make, agree, mode, padding, corners):
    attributes = {"mode": mode, "padding_mode": padding, "align_corners": corners}
    inputs = {"x": (2, 3, 6, 7), "g": (2, 4, 5, 2)}
    agree(make([("GridSample", ["x", "g"], attributes)], inputs, opset=20), tolerance=1e-4)


@pytest.mark.parametrize(
    "attributes", [{}, {"transB": 1}, {"transA": 1, "alpha": 0.5}, {"beta": 2.0, "transB": 1}], ids=str
)
def test_gemm(make, agree, attributes):
    shape = (4, 3) if attributes.get("transA") else (3, 4)
    weight = noise(5, 4) if attributes.get("transB") else noise(4, 5)
    lifted = agree(make([("Gemm", ["x", "w", "b"], attributes)], {"x": shape}, {"w": weight, "b": noise(5)}))
    linear = not {"transA", "beta"} & set(attributes)
    assert (type(next(lifted.children(), None)) is nn.Linear) == linear


@pytest.mark.parametrize("reads", [["x", "w"], ["w", "x"]])
def test_matmul_on_either_side_learns(make, agree, reads):
    lifted = agree(make([("MatMul", reads, {})], {"x": (2, 4, 4)}, {"w": noise(4, 4)}))
    assert len(list(lifted.parameters())) == 1


@pytest.mark.parametrize("slope", [(1,), (3, 1, 1), (3, 5, 1)], ids=str)
def test_prelu(make, agree, slope):
    agree(make([("PRelu", ["x", "s"], {})], {"x": (2, 3, 5, 4)}, {"s": noise(*slope)}))


@pytest.mark.parametrize("op", ["InstanceNormalization", "GroupNormalization", "LayerNormalization"])
def test_normalisation_layers_are_modules(make, agree, op):
    attributes = {"num_groups": 2} if op == "GroupNormalization" else {}
    width = 5 if op == "LayerNormalization" else 4
    constants = {"g": noise(width), "b": noise(width)}
    lifted = agree(make([(op, ["x", "g", "b"], attributes)], {"x": (2, 4, 6, 5)}, constants, opset=21))
    kinds = (nn.InstanceNorm2d, nn.GroupNorm, nn.LayerNorm)
    assert isinstance(next(lifted.children()), kinds)


@pytest.mark.parametrize(("axis", "keep", "last"), [(1, 1, 0), (-1, 0, 1)])
def test_argmax_of_ties(make, agree, axis, keep, last):
    attributes = {"axis": axis, "keepdims": keep, "select_last_index": last}
    model = make([("ArgMax", ["x"], attributes)], {"x": (2, 3, 4)})
    agree(model, feeds={"x": np.zeros((2, 3, 4), np.float32)})


def test_top_k_of_ties_takes_the_first(make, agree):
    nodes = [("TopK", ["x", "k"], {"axis": -1}, ["v", "i"])]
    model = make(nodes, {"x": (1, 6)}, {"k": ints(3)}, outputs=("v", "i"))
    agree(model, feeds={"x": np.array([[1, 2, 2, 2, 2, 0]], np.float32)})


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_quantisation_rounds_and_saturates_as_onnx_runtime(make, agree, dtype, symmetric):
    constants = {"s": np.float32(0.25).reshape(()), "z": np.array(0 if symmetric else 7, dtype)}
    nodes = [("QuantizeLinear", ["x", "s", "z"], {}), ("DequantizeLinear", ["y0", "s", "z"], {})]
    x = np.concatenate([np.arange(-20, 20) * 0.125, [1e4, -1e4]]).astype(np.float32)
    agree(make(nodes, {"x": x.shape}, constants), tolerance=0, feeds={"x": x})


def test_a_shape_read_in_the_graph_is_a_constant(make, agree):
    nodes = [
        ("Shape", ["x"], {}),
        ("Gather", ["y0", "i"], {}),
        ("Unsqueeze", ["y1", "a"], {}),
        ("Concat", ["one", "y2"], {"axis": 0}),
        ("Reshape", ["x", "y3"], {}),
    ]
    constants = {"i": np.array(1, np.int64), "a": ints(0), "one": ints(-1)}
    lifted = agree(make(nodes, {"x": (1, 4, 5)}, constants))
    assert [n.op for n in lifted.graph.nodes] == ["placeholder", "call_function", "output"]


def test_an_index_the_network_computes_is_no_shape(make):
    model = make([("Cast", ["x"], {"to": 7}), ("Reshape", ["z", "y0"], {})], {"x": (2,), "z": (2, 3)})
    with pytest.raises(UnsupportedOperator, match=r"Reshape '/net/Reshape.1'.*'y0' is not a constant"):
        lift(model)


def test_dynamic_scale_of_a_quantiser_is_refused(make):
    model = make([("QuantizeLinear", ["x", "s"], {})], {"x": (2, 3), "s": ()})
    with pytest.raises(UnsupportedOperator, match="'s' is not a constant"):
        lift(model)
