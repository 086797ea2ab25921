from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator
from small_graphs import model_of, network, outputs_of, smooth_frames, spec_of

from edgeseg.core.preprocess import Preprocess
from edgeseg.graph.deploy import PREPROCESS, compose
from edgeseg.graph.fp16 import SAFETY, measure_maxima, to_fp16
from edgeseg.graph.shapes import element_types

IMAGE = np.random.default_rng(1).normal(0, 1, (1, 3, 16, 20)).astype(np.float32)


def convert(model, image=IMAGE):
    half, kept = to_fp16(model, measure_maxima(model, [{"image": image}]))
    checker.check_model(half, full_check=True)
    return half, kept


def overflowing():
    """Logits near 1e5, as a late layer of a network trained without a bound may give."""
    rng = np.random.default_rng(2)
    constants = {
        "w1": rng.normal(0, 1, (8, 3, 3, 3)).astype(np.float32),
        "w2": (rng.normal(0, 1, (4, 8, 1, 1)) * 1e4).astype(np.float32),
        "sizes": np.array([1, 4, 32, 40], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], name="body", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "w2"], ["logits"], name="head"),
        helper.make_node("Resize", ["logits", "", "", "sizes"], ["scores"], name="up", mode="linear"),
    ]
    return model_of(nodes, constants)


def test_maxima_are_those_of_all_feeds():
    model = network(size=(16, 20))
    feeds = [{"image": IMAGE}, {"image": IMAGE * 3}]
    maxima = measure_maxima(model, feeds)
    expected = max(np.abs(outputs_of(model, f["image"])["scores"]).max() for f in feeds)
    assert maxima["scores"] == pytest.approx(expected)
    assert set(maxima) == {"a", "b", "scores"}


def test_infinity_and_nan_count_as_infinite():
    model = model_of(
        [helper.make_node("Exp", ["image"], ["e"]), helper.make_node("Log", ["image"], ["scores"])],
        outputs=("e", "scores"),
    )
    maxima = measure_maxima(model, [{"image": np.full_like(IMAGE, 100.0)}, {"image": -np.ones_like(IMAGE)}])
    assert maxima["e"] == maxima["scores"] == float("inf")


def test_logits_that_overflow_are_kept_in_float32_and_named():
    model = overflowing()
    expected = outputs_of(model, IMAGE)["scores"]
    assert np.abs(expected).max() > 65504
    naive, none = to_fp16(model, {})
    # ONNX Runtime computes fp16 in float32 on a CPU; the reference evaluator of ONNX really rounds.
    with np.errstate(all="ignore"):
        (overflown,) = ReferenceEvaluator(naive).run(None, {"image": IMAGE})
    assert none == () and not np.isfinite(overflown).all()

    half, kept = convert(model)
    assert kept == ("head", "up")
    (found,) = ReferenceEvaluator(half).run(None, {"image": IMAGE})
    np.testing.assert_allclose(found, expected, atol=5e-3 * np.abs(expected).max())
    np.testing.assert_allclose(outputs_of(half, IMAGE)["scores"], found, atol=5e-3 * np.abs(expected).max())
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.99


def test_the_rest_is_half_and_the_signature_is_not():
    model = network(size=(16, 20))
    half, kept = convert(model)
    types = element_types(half)
    assert kept == ()
    assert {types["a"], types["b"], types["w1_fp16"], types["w2_fp16"]} == {TensorProto.FLOAT16}
    assert [v.type.tensor_type.elem_type for v in (*half.graph.input, *half.graph.output)] == [
        TensorProto.FLOAT
    ] * 2
    expected = outputs_of(model, IMAGE)["scores"]
    np.testing.assert_allclose(
        outputs_of(half, IMAGE)["scores"], expected, atol=1e-2 * np.abs(expected).max()
    )


def test_a_value_within_the_safety_factor_is_kept():
    model = network(size=(16, 20))
    safe = {"scores": 65504 / SAFETY * 0.99}
    assert to_fp16(model, safe)[1] == ()
    assert to_fp16(model, {"scores": 65504 / SAFETY * 1.01})[1] == ("c2",)


@pytest.mark.parametrize("value", [1e6, 1e-9], ids=["too-large", "becomes-zero"])
def test_constants_outside_the_range_of_half_precision(value):
    nodes = [
        helper.make_node("Abs", ["image"], ["a"], name="abs"),
        helper.make_node("Mul", ["a", "zero"], ["z"], name="zero_it"),
        helper.make_node("Add", ["z", "c"], ["d"], name="add"),
        helper.make_node("Div", ["c", "d"], ["scores"], name="div"),
    ]
    model = model_of(nodes, {"c": np.array(value, np.float32), "zero": np.array(0, np.float32)})
    half, kept = convert(model)
    assert set(kept) >= {"add", "div"}
    np.testing.assert_allclose(outputs_of(half, IMAGE)["scores"], 1.0)


def test_a_clip_with_an_open_bound_is_not_an_overflow():
    bounds = {"low": np.array(0, np.float32), "high": np.array(3.4e38, np.float32)}
    model = model_of([helper.make_node("Clip", ["image", "low", "high"], ["scores"], name="clip")], bounds)
    half, kept = convert(model)
    assert kept == ()
    np.testing.assert_allclose(outputs_of(half, IMAGE)["scores"], np.maximum(IMAGE, 0), atol=2e-3)


def test_a_mean_over_a_large_sum_is_kept():
    model = model_of([helper.make_node("GlobalAveragePool", ["image"], ["scores"], name="pool")])
    assert convert(model)[1] == ()
    assert convert(model, IMAGE + 100)[1] == ("pool",)


def test_scales_of_resize_stay_float32():
    constants = {"scales": np.array([1, 1, 2, 2], np.float32), "roi": np.zeros(0, np.float32)}
    model = model_of(
        [helper.make_node("Resize", ["image", "roi", "scales"], ["scores"], mode="nearest")], constants
    )
    half, _ = convert(model)
    assert element_types(half)["scales"] == TensorProto.FLOAT
    assert outputs_of(half, IMAGE)["scores"].shape == (1, 3, 32, 40)


def test_a_weight_used_in_both_precisions():
    nodes = [
        helper.make_node("Mul", ["image", "k"], ["x"], name="small"),
        helper.make_node("Mul", ["k", "big"], ["y"], name="large"),
        helper.make_node("Add", ["x", "y"], ["scores"], name="sum"),
    ]
    constants = {"k": np.full((1, 3, 1, 1), 2, np.float32), "big": np.array(1e5, np.float32)}
    model = model_of(nodes, constants)
    half, kept = convert(model)
    assert kept == ("large", "sum")
    np.testing.assert_allclose(
        outputs_of(half, IMAGE)["scores"], outputs_of(model, IMAGE)["scores"], rtol=1e-4
    )


def test_outputs_that_other_nodes_read_keep_their_type():
    nodes = [helper.make_node("Relu", ["image"], ["mid"]), helper.make_node("Neg", ["mid"], ["scores"])]
    model = model_of(nodes, outputs=("mid", "scores"))
    found = outputs_of(convert(model)[0], IMAGE)
    assert {v.dtype for v in found.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(found["scores"], -np.maximum(IMAGE, 0), atol=2e-3)


def test_a_subgraph_reads_float32():
    body = helper.make_graph(
        [helper.make_node("Add", ["mid", "mid"], ["then"])],
        "t",
        [],
        [helper.make_tensor_value_info("then", 1, None)],
    )
    other = helper.make_graph(
        [helper.make_node("Neg", ["mid"], ["else"])],
        "e",
        [],
        [helper.make_tensor_value_info("else", 1, None)],
    )
    nodes = [
        helper.make_node("Relu", ["image"], ["mid"], name="relu"),
        helper.make_node("If", ["yes"], ["scores"], name="if", then_branch=body, else_branch=other),
    ]
    model = model_of(nodes, {"yes": np.array(True)})
    found = outputs_of(to_fp16(model, {})[0], IMAGE)["scores"]
    np.testing.assert_allclose(found, 2 * np.maximum(IMAGE, 0), atol=4e-3)


def test_preprocessing_of_a_deploy_graph_stays_float32():
    spec = spec_of(preprocess=Preprocess(resize="letterbox"))
    model = compose(network(), spec, (50, 70))
    frames = smooth_frames(1, (50, 70))
    half, kept = to_fp16(model, measure_maxima(model, [{"frames": frames}]))
    assert kept == ()
    types = element_types(half)
    begins = [n for n in half.graph.node if n.name.startswith(PREPROCESS) and n.op_type != "Cast"]
    assert {types[n.output[0]] for n in begins} == {TensorProto.FLOAT}
    assert types["a"] == TensorProto.FLOAT16
    found, expected = (outputs_of(m, frames)["class_map"] for m in (half, model))
    assert (found == expected).mean() >= 0.99


def test_the_model_given_is_not_changed():
    model = overflowing()
    before = model.SerializeToString()
    convert(model)
    assert model.SerializeToString() == before
