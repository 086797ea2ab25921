"""From a float graph to Q/DQ bundles and int8 engines, one scheme per kind of engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from noise_data import NoiseData

from edgeseg.backends import backend_for
from edgeseg.core.target import Target
from edgeseg.errors import BundleError, DataError, EdgesegError, GraphError, TargetError
from edgeseg.runtime import load

PACKAGES = {"openvino": "openvino", "ort": "onnxruntime", "rtx": "tensorrt_rtx"}
SCHEMES = {"openvino": "x86", "ort": "onnxruntime", "rtx": "tensorrt", "trt": "tensorrt"}


@pytest.fixture
def graph(torch_bundle, run_step):
    return run_step("export", torch_bundle())


@pytest.fixture
def quantise(graph, run_step):
    return lambda scheme, **settings: run_step("quantize", graph, data=NoiseData(), scheme=scheme, **settings)


@pytest.mark.parametrize("scheme", ["x86", "onnxruntime", "tensorrt"])
def test_the_bundle_keeps_the_float_graph_and_says_what_every_layer_became(graph, quantise, scheme):
    found = quantise(scheme).manifest
    assert found.kind == "qdq"
    assert found.files[found.graph] == graph.manifest.files[graph.manifest.graph]
    assert found.quantization.scheme == scheme
    assert set(found.quantization.plan.values()) == {"int8"} and len(found.quantization.plan) == 2
    assert found.quantization.calibration == "8 images of noise/train"


def test_a_node_can_be_kept_in_float(graph, quantise):
    names = [n.name for n in onnx.load(str(graph.file("graph.onnx"))).graph.node if n.op_type == "Conv"]
    plan = quantise("x86", keep=(names[0],)).manifest.quantization.plan
    assert plan == {names[0]: "float", names[1]: "int8"}


@pytest.mark.parametrize("text", ["openvino-int8", "ort-int8"])
def test_an_int8_engine_gives_the_class_maps_of_float(quantise, run_step, text):
    target = Target.parse(text)
    pytest.importorskip(PACKAGES[target.engine])
    child = run_step("build", quantise(SCHEMES[target.engine]), target=text)
    assert child.manifest.kind == "engine" and child.manifest.quantization is not None
    golden = np.load(child.file("golden.npz"))
    with load(child.path) as session:
        assert (session(golden["frames"]) == golden["class_map"]).mean() > 0.98


@pytest.mark.parametrize(("text", "kind"), [("rtx-int8@sm86,sm89", "engine"), ("trt-int8@orin", "deferred")])
def test_tensorrt_gets_typed_fp16_around_int8(quantise, run_step, text, kind):
    if kind == "engine":
        pytest.importorskip("tensorrt_rtx")
    elif backend_for(Target.parse(text)).availability(Target.parse(text)).build:
        pytest.skip("TensorRT is here")
    child = run_step("build", quantise("tensorrt"), target=text)
    assert child.manifest.kind == kind
    assert "fp32" not in child.manifest.quantization.plan.values()
    deploy = onnx.load(str(child.file(child.engine.graph)))
    types = {t.name: t.data_type for t in deploy.graph.initializer}
    pairs = [n for n in deploy.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs and {types[n.input[1]] for n in pairs} == {onnx.TensorProto.FLOAT16}
    assert {types[n.input[2]] for n in pairs} == {onnx.TensorProto.INT8}


def test_an_int8_target_needs_a_qdq_bundle_of_its_scheme(graph, quantise, run_step):
    with pytest.raises(TargetError, match="cannot be built from a bundle of kind 'onnx'"):
        run_step("build", graph, target="openvino-int8")
    quantised = quantise("x86")
    with pytest.raises(TargetError, match="cannot be built from a bundle of kind 'qdq'"):
        run_step("build", quantised, target="openvino-fp32")
    with pytest.raises(BundleError, match="holds the int8 scheme 'x86'"):
        run_step("build", quantised, target="trt-int8")


class Overlapping(NoiseData):
    def split(self, name):
        return replace(super().split("train"), name=name)


class Flat(NoiseData):
    def splits(self):
        return ("train",)

    def split(self, name):
        return replace(super().split(name), read_image=lambda i: np.full((32, 48, 3), 7 + int(i), np.uint8))


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (None, DataError, "no data was given"),
        (Overlapping(), DataError, "are also in"),
        (Flat(), DataError, "constant"),
    ],
    ids=["none", "overlap", "constant"],
)
def test_images_that_cannot_calibrate_are_refused(graph, run_step, data, error, words):
    with pytest.raises(error, match=words):
        run_step("quantize", graph, data=data)


def test_a_plan_without_int8_or_with_unknown_nodes_is_refused(graph, quantise):
    names = [n.name for n in onnx.load(str(graph.file("graph.onnx"))).graph.node if n.op_type == "Conv"]
    with pytest.raises(GraphError, match="no layer of the network is int8"):
        quantise("x86", keep=tuple(names))
    with pytest.raises(EdgesegError, match="does not have: nowhere"):
        quantise("x86", keep=("nowhere",))
