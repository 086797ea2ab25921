"""Convolutions and pools over all ways to pad, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from edgeseg.errors import UnsupportedOperator
from edgeseg.graph.lift import lift


def noise(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


PADDING = [
    {},
    {"pads": [1, 1, 1, 1]},
    {"pads": [0, 1, 2, 0]},
    {"pads": [2, 2, 0, 0]},
    {"auto_pad": "SAME_UPPER"},
    {"auto_pad": "SAME_LOWER"},
    {"auto_pad": "VALID"},
]


@pytest.mark.parametrize("padding", PADDING, ids=str)
@pytest.mark.parametrize(
    "rest",
    [{}, {"strides": [2, 3]}, {"dilations": [2, 1]}, {"group": 4, "strides": [2, 2]}, {"group": 2}],
    ids=str,
)
def test_conv(make, agree, padding, rest):
    weight = noise(8, 4 // rest.get("group", 1), 3, 3)
    if "auto_pad" in padding and "dilations" in rest and padding["auto_pad"] != "VALID":
        pytest.skip("ONNX Runtime refuses SAME with dilations")
    model = make(
        [("Conv", ["x", "w", "b"], padding | rest)], {"x": (1, 4, 11, 14)}, {"w": weight, "b": noise(8)}
    )
    lifted = agree(model)
    conv = lifted.get_submodule(lifted.fx_names["/net/Conv.0"])
    assert type(conv) is nn.Conv2d
    assert conv.in_channels == 4 and conv.out_channels == 8


@pytest.mark.parametrize("dims", [1, 3])
def test_conv_of_other_ranks(make, agree, dims):
    attributes = {"pads": [1] * dims + [0] * dims, "strides": [2] * dims}
    model = make(
        [("Conv", ["x", "w"], attributes)], {"x": (2, 3, *[8] * dims)}, {"w": noise(4, 3, *[3] * dims)}
    )
    agree(model)


def test_conv_with_a_weight_the_network_computes(make, agree):
    model = make([("Conv", ["x", "w"], {"pads": [0, 1, 2, 1]})], {"x": (1, 2, 8, 8), "w": (3, 2, 3, 3)})
    agree(model)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 2]},
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        {"strides": [2, 2], "pads": [0, 0, 1, 1]},
        {"strides": [2, 2], "pads": [1, 1, 0, 0]},
        {"strides": [3, 2], "pads": [0, 2, 1, 0], "output_padding": [1, 0]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"strides": [2, 2], "auto_pad": "VALID"},
        {"strides": [2, 2], "output_shape": [10, 13]},
        {"strides": [2, 2], "output_shape": [9, 12], "auto_pad": "SAME_UPPER"},
        {"dilations": [2, 2], "pads": [1, 1, 1, 1]},
        {"group": 2, "strides": [2, 2], "pads": [1, 1, 1, 1]},
    ],
    ids=str,
)
def test_conv_transpose(make, agree, attributes):
    groups = attributes.get("group", 1)
    model = make(
        [("ConvTranspose", ["x", "w", "b"], attributes)],
        {"x": (2, 4, 5, 6)},
        {"w": noise(4, 6 // groups, 3, 3), "b": noise(6)},
    )
    lifted = agree(model)
    assert type(lifted.get_submodule(lifted.fx_names["/net/ConvTranspose.0"])) is nn.ConvTranspose2d


def test_conv_transpose_beyond_its_reach_is_refused_when_a_bias_would_be_missing(make):
    attributes = {"strides": [1, 1], "output_shape": [12, 12]}
    shapes = {"w": noise(2, 2, 3, 3), "b": noise(2)}
    model = make([("ConvTranspose", ["x", "w", "b"], attributes)], {"x": (1, 2, 5, 5)}, shapes)
    with pytest.raises(UnsupportedOperator, match="has a bias"):
        lift(model)


POOLS = [
    {"strides": [2, 2]},
    {"strides": [2, 2], "pads": [1, 1, 1, 1]},
    {"strides": [2, 2], "pads": [0, 0, 1, 1]},
    {"strides": [2, 3], "pads": [2, 1, 0, 1]},
    {"strides": [2, 2], "ceil_mode": 1},
    {"strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"strides": [3, 3], "pads": [0, 1, 1, 0], "ceil_mode": 1},
    {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
    {"dilations": [2, 2], "strides": [2, 2], "pads": [0, 1, 1, 1]},
]


@pytest.mark.parametrize("attributes", POOLS, ids=str)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "AveragePool including padding"])
def test_pools(make, agree, op, attributes):
    op, _, include = op.partition(" ")
    rest = {"kernel_shape": [3, 3]} | attributes | ({"count_include_pad": 1} if include else {})
    agree(make([(op, ["x"], rest)], {"x": (2, 3, 10, 13)}, opset=19))


@pytest.mark.parametrize("attributes", [{}, {"pads": [0, 0, 1, 1]}, {"pads": [1, 1, 1, 1]}], ids=str)
def test_lp_pool(make, agree, attributes):
    agree(
        make(
            [("LpPool", ["x"], {"kernel_shape": [3, 3], "strides": [2, 2], "p": 3} | attributes)],
            {"x": (1, 2, 9, 8)},
        )
    )


@pytest.mark.parametrize("dims", [1, 3])
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pools_of_other_ranks(make, agree, op, dims):
    attributes = {"kernel_shape": [3] * dims, "strides": [2] * dims, "pads": [0] * dims + [1] * dims}
    agree(make([(op, ["x"], attributes)], {"x": (1, 2, *[7] * dims)}))


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
def test_global_pools(make, agree, op):
    agree(make([(op, ["x"], {})], {"x": (2, 3, 5, 6)}))


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [0, 0, 1, 1]], ids=str)
def test_unpooling_puts_values_back_where_they_came_from(make, agree, pads):
    pool = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": pads}
    size = 8 - pads[2]
    nodes = [
        ("MaxPool", ["x"], pool, ["v", "i"]),
        ("MaxUnpool", ["v", "i"], pool),
    ]
    agree(make(nodes, {"x": (1, 2, size, size)}))
