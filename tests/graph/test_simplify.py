from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from small_graphs import model_of, operators, outputs_of

from edgeseg.graph.simplify import simplify

IMAGE = np.zeros((1, 3, 16, 20), np.float32)


@pytest.mark.parametrize("eps", [1e-8, 1e-15, 1e-30])
@pytest.mark.parametrize("operator", ["Add", "Sub", "Max"])
def test_a_small_epsilon_is_kept(operator, eps):
    model = model_of([helper.make_node(operator, ["image", "eps"], ["scores"])], {"eps": np.float32(eps)})
    found = outputs_of(simplify(model), IMAGE)["scores"]
    np.testing.assert_array_equal(np.abs(found), np.float32(eps))


def test_a_cast_like_an_activation_is_folded():
    nodes = [
        helper.make_node("CastLike", ["low", "image"], ["l"]),
        helper.make_node("Clip", ["image", "l"], ["scores"]),
    ]
    result = simplify(model_of(nodes, {"low": np.array(1, np.int64)}))
    assert operators(result) == ["Clip"]
    np.testing.assert_array_equal(outputs_of(result, IMAGE)["scores"], 1.0)
