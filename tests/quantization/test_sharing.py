from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper
from patterns import PATTERNS, Net, feeds

from edgeseg.quantization.placement.pairs import place
from edgeseg.quantization.placement.sharing import SharedScales
from edgeseg.quantization.ptq import quantize
from edgeseg.quantization.schemes import scheme_named, schemes


def joined() -> ModelProto:
    """Concat of a skip and a map resized twice, then pooled: one scale through all of it."""
    net = Net()
    a = net.op("Relu", "act", net.conv("c1", "image", 3, 8))
    small = net.op("MaxPool", "small", a, kernel_shape=[2, 2], strides=[2, 2])
    sizes = net.constant("sizes", (1, 8, 12, 16), np.int64)
    up = net.op("Resize", "up", net.conv("c2", small, 8, 8), "", "", sizes, mode="linear")
    cat = net.op("Concat", "cat", a, up, axis=1)
    return net.model(net.conv("c3", net.op("MaxPool", "max", cat, kernel_shape=[2, 2]), 16, 4))


@pytest.mark.parametrize("scheme", schemes())
@pytest.mark.parametrize("pattern", ["residual", "concat-mixed", "resize-linear", "pooled", "joined"])
def test_the_graph_tells_what_the_placement_decided(pattern: str, scheme: str) -> None:
    model = joined() if pattern == "joined" else PATTERNS[pattern]()
    chosen = scheme_named(scheme)
    expected: dict[str, set[str]] = {}
    for pair in place(model, chosen).pairs:
        expected.setdefault(pair.shared, set()).add(f"{pair.tensor}/scale")
    result = quantize(model, feeds(1), chosen).model
    shared = SharedScales(result)
    found: dict[str, set[str]] = {}
    for node in result.graph.node:
        if node.op_type == "QuantizeLinear":
            found.setdefault(shared.root(node), set()).add(node.input[1])
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, expected.values()))


def test_scales_that_differ_are_not_shared() -> None:
    result = quantize(PATTERNS["concat-mixed"](), feeds(1), scheme_named("openvino")).model
    scale = next(t for t in result.graph.initializer if t.name == "act/scale")
    scale.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(scale), "act/scale"))
    pairs = {n.input[1]: n for n in result.graph.node if n.op_type == "QuantizeLinear"}
    shared = SharedScales(result)
    assert shared.root(pairs["act/scale"]) != shared.root(pairs["big/scale"])
