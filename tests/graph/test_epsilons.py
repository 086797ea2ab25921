from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from small_graphs import model_of, outputs_of

from edgeseg.graph.fp16 import measure_maxima, to_fp16
from edgeseg.graph.half import rounded_to_half

IMAGE = np.abs(np.random.default_rng(0).normal(0, 1, (1, 3, 16, 20))).astype(np.float32)
IMAGE[..., :5], IMAGE[..., 5:8] = 0.0, 1e-4
SUM = ("ReduceSum", "image axes", "sum")
NORM = ("ReduceL2", "image axes", "sum")
SQUARES = (("Mul", "image image", "square"), ("ReduceMean", "square axes", "sum"))
CASES = {
    "added": (1e-8, [SUM, ("Add", "sum eps", "safe"), ("Div", "image safe", "scores")], "safe scores"),
    "clipped": (1e-12, [NORM, ("Clip", "sum eps", "safe"), ("Div", "image safe", "scores")], "safe scores"),
    "larger": (1e-12, [NORM, ("Max", "sum eps", "safe"), ("Div", "image safe", "scores")], "safe scores"),
    "chosen": (
        1e-12,
        [NORM, ("Less", "sum eps", "c"), ("Where", "c eps sum", "safe"), ("Div", "image safe", "scores")],
        "safe scores",
    ),
    "expanded": (
        1e-8,
        [SUM, ("Add", "sum eps", "safe"), ("Expand", "safe shape", "wide"), ("Div", "image wide", "scores")],
        "safe wide scores",
    ),
    "logarithm": (1e-12, [("Clip", "image eps", "safe"), ("Log", "safe", "scores")], "safe scores"),
    "root": (
        1e-12,
        [*SQUARES, ("Add", "sum eps", "safe"), ("Sqrt", "safe", "root"), ("Div", "image root", "scores")],
        "square sum safe root",
    ),
    "root of a larger one": (
        1e-6,
        [*SQUARES, ("Add", "sum eps", "safe"), ("Sqrt", "safe", "root"), ("Div", "image root", "scores")],
        "square sum safe root",
    ),
    "behind a root": (
        1e-10,
        [*SQUARES, ("Sqrt", "sum", "root"), ("Add", "root eps", "safe"), ("Div", "image safe", "scores")],
        "square sum root safe scores",
    ),
    "reciprocal root": (
        1e-12,
        [*SQUARES, ("Add", "sum eps", "safe"), ("Pow", "safe power", "r"), ("Mul", "image r", "scores")],
        "square sum safe r scores",
    ),
    "reciprocal that overflows": (
        1e-6,
        [SUM, ("Add", "sum eps", "safe"), ("Reciprocal", "safe", "r"), ("Mul", "image r", "scores")],
        "safe r scores",
    ),
    "one over it": (
        1e-6,
        [SUM, ("Add", "sum eps", "safe"), ("Div", "one safe", "r"), ("Mul", "image r", "scores")],
        "safe r scores",
    ),
    "folded into a bias": (
        1e-8,
        [("Conv", "image sum_up bias", "safe"), ("Div", "image safe", "scores")],
        "safe scores",
    ),
    "factor": (1e-9, [("Mul", "image eps", "tiny"), ("Mul", "tiny billion", "scores")], "tiny scores"),
    "large enough": (1e-5, [SUM, ("Add", "sum eps", "safe"), ("Div", "image safe", "scores")], ""),
    "guards nothing": (1e-12, [("Clip", "image eps", "safe"), ("Conv", "safe weight", "scores")], ""),
}


def graph(nodes, eps):
    constants = {
        "eps": np.float32(eps),
        "axes": np.array([1]),
        "shape": np.array(IMAGE.shape),
        "power": np.float32(-0.5),
        "one": np.float32(1),
        "billion": np.float32(1e9),
        "sum_up": np.ones((1, 3, 1, 1), np.float32),
        "bias": np.full(1, eps, np.float32),
        "weight": np.ones((2, 3, 1, 1), np.float32),
    }
    made = [helper.make_node(kind, inputs.split(), [output], name=output) for kind, inputs, output in nodes]
    read = {name for node in made for name in node.input}
    return model_of(made, {name: value for name, value in constants.items() if name in read})


@pytest.mark.parametrize("case", CASES)
def test_an_epsilon_keeps_its_effect_in_half_precision(case):
    eps, nodes, stay = CASES[case]
    model = graph(nodes, eps)
    half, kept = to_fp16(model, measure_maxima(model, [{"image": IMAGE}]))
    assert set(stay.split()) <= set(kept) and (stay or not kept)
    expected, found = (outputs_of(m, IMAGE)["scores"] for m in (model, rounded_to_half(half)))
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())
