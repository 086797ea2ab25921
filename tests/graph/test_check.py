from __future__ import annotations

import numpy as np
import pytest
from small_graphs import network, outputs_of

from edgeseg.errors import GraphError
from edgeseg.graph.check import check_against_onnx, compare, relative_error


def test_relative_error():
    reference = np.array([1.0, -4.0])
    assert relative_error(reference + 0.04, reference) == pytest.approx(0.01)
    assert relative_error(np.zeros(2), np.zeros(2)) == 0.0
    assert relative_error(np.array([np.nan, 1.0]), reference) == float("inf")
    assert relative_error(np.zeros(3), reference) == float("inf")


def test_a_check_per_kind_of_input():
    plain = network()
    checks = check_against_onnx(plain, plain, {"real": np.ones((1, 3, 32, 48), np.float32)})
    assert [(c.what, c.inputs, c.max_error) for c in checks] == [
        ("ONNX Runtime", "random", 0.0),
        ("ONNX Runtime", "real", 0.0),
    ]


def test_a_wrong_graph_is_refused_with_the_error():
    image = np.ones((1, 3, 32, 48), np.float32)
    right = outputs_of(network(), image)["scores"]
    with pytest.raises(GraphError, match=r"'scores'.*differs from the source by 5\.0e-02.*on real input"):
        compare(network(), lambda _: [right / 1.05], {"real": image}, against="the source")
