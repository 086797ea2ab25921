from __future__ import annotations

from edgeseg.core.ports import Layer
from edgeseg.device.layers import by_node


def test_layers_count_for_the_weighted_node_before_them() -> None:
    layers = [
        Layer(name="reorder", kind="Reorder"),
        Layer(name="c1/WithoutBiases", kind="Convolution", nodes=("c1/WithoutBiases", "c1", "act")),
        Layer(name="add", kind="Eltwise", nodes=("add",)),
        Layer(name="c2", kind="Convolution"),
        Layer(name="head", kind="Convert"),
    ]
    assert by_node(layers, [1, 2, 4, 8, 16], {"c1": "c1", "c2": "c2"}) == {"c1": 7, "c2": 24}


def test_an_engine_that_names_few_of_its_layers_tells_nothing() -> None:
    layers = [Layer(name="c1", kind="Convolution"), Layer(name="fused", kind="Convolution")]
    assert by_node(layers, [1, 2], {"c1": "c1", "c2": "c2", "c3": "c3"}) == {}
