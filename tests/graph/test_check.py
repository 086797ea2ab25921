from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import helper
from small_graphs import model_of, network, outputs_of
from torch import nn

from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import GraphError
from edgeseg.graph.check import (
    check_against_onnx,
    check_against_torch,
    check_images,
    compare,
    relative_error,
)
from edgeseg.graph.export import export_torch


def test_relative_error():
    reference = np.array([1.0, -4.0])
    assert relative_error(reference + 0.04, reference) == pytest.approx(0.01)
    assert relative_error(np.zeros(2), np.zeros(2)) == 0.0
    assert relative_error(np.array([np.nan, 1.0]), reference) == float("inf")
    assert relative_error(np.zeros(3), reference) == float("inf")


def test_errors_of_float32_are_found_in_float64():
    """Where float32 rounds two differences to one, the larger one is told."""
    random = np.random.default_rng(0)
    reference = random.standard_normal(5000, np.float32)
    found = reference + np.float32(1e-3) * random.standard_normal(5000, np.float32)
    for value in (np.nan, np.inf, None):
        if value is not None:
            found[3] = reference[3] = value
        known = np.isfinite(reference)
        exact = np.abs(found[known].astype(np.float64) - reference[known]).max()
        assert relative_error(found, reference) == exact / np.abs(reference[known]).max()
        found[3] = reference[3] = 0
    huge = np.full(2, 3e38, np.float32)
    assert relative_error(-huge, huge) == 2.0
    found[7] = np.inf
    assert relative_error(found, reference) == float("inf")


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


@pytest.mark.parametrize("chance", ["dropout", "noise"])
def test_a_network_that_chance_changes_is_not_called_wrongly_translated(chance):
    image = np.ones((1, 3, 32, 48), np.float32)
    right = outputs_of(network(), image)["scores"]
    random = np.random.default_rng(0)

    def reference(_):
        if chance == "dropout":
            return [right * random.choice([0, 2], right.shape).astype(np.float32)]
        return [right + random.standard_normal(right.shape, np.float32)]

    with pytest.raises(GraphError) as caught:
        compare(network(), reference, {"real": image}, against="PyTorch")
    assert "another output each time it is run on the same real input" in caught.value.message
    assert "training=self.training" in caught.value.hint and "translated" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_must_be_so_on_both_sides(value):
    reference = np.array([1.0, value, -4.0])
    assert relative_error(reference + 0.04, reference) == pytest.approx(0.01)
    assert relative_error(np.array([1.0, 2.0, -4.0]), reference) == float("inf")
    assert relative_error(np.full(3, value), np.full(3, value)) == 0.0


def test_frames_are_flat_and_out_of_range_too():
    contract = Preprocess(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    frames = np.full((2, 32, 48, 3), 51, np.uint8)
    inputs = check_images(frames, "real", contract, (32, 48))
    assert {value.shape for value in inputs.values()} == {(2, 3, 32, 48)}
    flat = {kind: float(value.mean()) for kind, value in inputs.items() if np.ptp(value) < 1e-6}
    assert flat == pytest.approx({"real": -1.2, "black": -2.0, "white": 2.0, "constant": 0.0}, abs=1e-6)
    assert inputs["out of range"].min() < -5 and inputs["out of range"].max() > 5


def test_a_fault_on_black_frames_only_is_refused():
    """0/0 where all features are zero; elsewhere the epsilon that is left out does not count."""
    image = np.abs(np.random.default_rng(0).normal(0, 1, (1, 3, 32, 48))).astype(np.float32)
    nodes = [
        helper.make_node("ReduceSum", ["image", "axes"], ["sum"]),
        helper.make_node("Div", ["image", "sum"], ["scores"]),
    ]
    graph = model_of(nodes, {"axes": np.array([1])}, shape=(1, 3, 32, 48))

    def reference(image):
        return [image / (image.sum(1, keepdims=True) + np.float32(1e-8))]

    assert len(compare(graph, reference, {"real": image}, against="PyTorch")) == 1
    with pytest.raises(GraphError, match="on black input"):
        compare(graph, reference, {"real": image, "black": np.zeros_like(image)}, against="PyTorch")


def test_what_the_last_bits_of_a_flat_frame_decide_is_not_compared():
    """A flat frame has no deviation but that of its rounding, which is divided by itself."""
    torch.manual_seed(0)
    net = nn.Sequential(*[layer for _ in range(3) for layer in (nn.Conv2d(3, 3, 1), nn.InstanceNorm2d(3))])
    graph, flat = export_torch(net, (3, 32, 48)), np.full((1, 3, 32, 48), 0.3, np.float32)
    checks = check_against_torch(graph, net, (3, 32, 48), 1, {"constant": flat})
    assert [check.inputs for check in checks] == ["random"]
