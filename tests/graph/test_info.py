from __future__ import annotations

import numpy as np
from onnx import helper
from small_graphs import model_of, network

from edgeseg.graph.fp16 import to_fp16
from edgeseg.graph.info import graph_info


def test_counts_of_a_small_network():
    info = graph_info(network(4, size=(32, 48), stride=2))
    assert info.operators == {"Conv": 2, "Relu": 1}
    assert info.parameters == 8 * 3 * 9 + 4 * 8 * 9 + 4
    assert info.macs == 16 * 24 * (8 * 3 * 9 + 4 * 8 * 9)
    assert info.size_bytes == 4 * info.parameters
    first = info.layers[0]
    assert (first.name, first.op, first.shape, first.dtype) == ("c1", "Conv", (1, 8, 16, 24), "float32")
    assert (first.parameters, first.macs) == (216, 16 * 24 * 216)


def test_half_precision_halves_the_bytes():
    info = graph_info(to_fp16(network(), {})[0])
    assert info.size_bytes == 2 * info.parameters
    assert next(row for row in info.layers if row.name == "c1").dtype == "float16"


def test_macs_of_every_counted_operator():
    rng = np.random.default_rng(0)
    constants = {
        "dw": rng.normal(0, 1, (3, 1, 3, 3)).astype(np.float32),
        "up": rng.normal(0, 1, (3, 5, 2, 2)).astype(np.float32),
        "mm": rng.normal(0, 1, (40, 7)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "dw"], ["a"], name="dw", group=3, pads=[1] * 4),
        helper.make_node("ConvTranspose", ["a", "up"], ["b"], name="up", strides=[2, 2]),
        helper.make_node("MatMul", ["b", "mm"], ["c"], name="mm"),
        helper.make_node("Flatten", ["c"], ["d"], name="flat", axis=2),
        helper.make_node("Gemm", ["d", "d"], ["scores"], name="gemm", transA=1),
    ]
    rows = {row.name: row.macs for row in graph_info(model_of(nodes, constants)).layers}
    assert rows == {
        "dw": 3 * 16 * 20 * 9,
        "up": 3 * 16 * 20 * 5 * 4,
        "mm": 5 * 32 * 7 * 40,
        "flat": 0,
        "gemm": 224 * 224 * 5,
    }
