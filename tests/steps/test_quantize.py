"""From a float graph to Q/DQ bundles and int8 engines, one scheme per kind of engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from noise_data import NoiseData

from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle
from edgeseg.core.documents import read_json
from edgeseg.core.measurement import PairedRatio
from edgeseg.core.ports import Availability
from edgeseg.core.status import BuildStatus
from edgeseg.core.target import Target
from edgeseg.device import bench, gate
from edgeseg.device import build as device_build
from edgeseg.errors import BundleError, DataError, EdgesegError, GraphError, TargetError
from edgeseg.quantization.planner.held_out_loss import HeldOut
from edgeseg.quantization.planner.tables import PlannedPrecision
from edgeseg.runtime import load

PACKAGES = {"openvino": "openvino", "ort": "onnxruntime", "rtx": "tensorrt_rtx"}
SCHEMES = {"openvino": "openvino", "ort": "onnxruntime", "rtx": "tensorrt", "trt": "tensorrt"}


@pytest.fixture
def graph(torch_bundle, run_step):
    return run_step("export", torch_bundle())


@pytest.fixture
def quantise(graph, run_step):
    return lambda scheme, **settings: run_step("quantize", graph, data=NoiseData(), scheme=scheme, **settings)


@pytest.mark.parametrize("scheme", ["openvino", "onnxruntime", "tensorrt"])
def test_the_bundle_keeps_the_float_graph_and_says_what_every_layer_became(graph, quantise, scheme):
    found = quantise(scheme).manifest
    assert found.kind == "qdq"
    assert found.files[found.graph] == graph.manifest.files[graph.manifest.graph]
    assert found.quantization.scheme == scheme
    assert set(found.quantization.plan.values()) == {"int8"} and len(found.quantization.plan) == 2
    assert found.quantization.calibration == "8 images of noise/train"


def test_a_node_can_be_kept_in_float(graph, quantise):
    names = [n.name for n in onnx.load(str(graph.file("graph.onnx"))).graph.node if n.op_type == "Conv"]
    plan = quantise("openvino", keep=(names[0],)).manifest.quantization.plan
    assert plan == {names[0]: "float", names[1]: "int8"}


@pytest.fixture
def swish(torch_bundle, run_step):
    """(settings) -> the Q/DQ bundle of a network with Swish."""
    graph = run_step("export", torch_bundle(activation="SiLU"))
    return lambda **settings: run_step("quantize", graph, data=NoiseData(), **settings)


def operators(bundle):
    return {node.op_type for node in onnx.load(str(bundle.file("quantized.onnx"))).graph.node}


def test_swish_becomes_hardswish_where_it_is_asked_for(swish):
    exact, hard = swish(swish="exact"), swish(swish="hard")
    assert "Sigmoid" in operators(exact) and "HardSwish" not in operators(exact)
    assert "Sigmoid" not in operators(hard) and "HardSwish" in operators(hard)
    assert "Swish behind 1 convolution became HardSwish, fitted per channel" in hard.manifest.notes
    plain = onnx.load(str(hard.file("graph.onnx")))
    assert "Sigmoid" in {node.op_type for node in plain.graph.node}


def test_a_network_with_hardswish_can_be_planned(swish):
    pytest.importorskip("openvino")
    settings = {"images": 4, "plan": {"images": 4}, "budget": {"max_drop": 50.0}, "target": "openvino-int8"}
    found = swish(swish="hard", **settings)
    planned = read_json(found.file("plan.json"), PlannedPrecision)
    assert planned.met and "HardSwish" in operators(found)


@pytest.mark.parametrize(
    ("zoomed_crops", "views", "told"),
    [
        (True, 8, "4 images of noise/train, each with an enlarged part"),
        (False, 4, "4 images of noise/train"),
    ],
)
def test_a_plan_is_scored_on_enlarged_parts_too(quantise, monkeypatch, zoomed_crops, views, told):
    seen = []
    loss = HeldOut.loss

    def watched(self, *given, **options):
        seen.append(len(self.frames))
        return loss(self, *given, **options)

    monkeypatch.setattr(HeldOut, "loss", watched)
    plan = {"images": 4, "zoomed_crops": zoomed_crops}
    made = quantise("tensorrt", images=4, plan=plan, budget={"max_drop": 90.0}, target="trt-int8@orin")
    assert read_json(made.file("plan.json"), PlannedPrecision).held_out == told
    assert set(seen) == {views}


class ManyNoise(NoiseData):
    """40 images to calibrate and score with, without labels: class maps can only differ, not gain."""

    classes = ()

    def split(self, name):
        source = np.random.default_rng(1).integers(0, 256, (42, 32, 48, 3), dtype=np.uint8)
        chosen = super().split(name)
        ids = tuple(map(str, range(40) if name == "train" else range(40, 42)))
        return replace(
            chosen,
            ids=ids,
            classes=(),
            read_image=lambda i: source[int(i)],
        )


@pytest.mark.parametrize(
    ("drop", "first", "told"),
    [
        (90.0, 4, "4 of 20 images of noise/train"),  # settled at once
        (90.0, 0, "20 images of noise/train"),
        (0.0001, 4, "20 images of noise/train"),  # not settled: all of them, and a search
    ],
)
def test_a_plan_calibrates_with_as_few_images_as_settle_it(graph, run_step, drop, first, told):
    plan = {"images": 20, "first": first}
    made = run_step(
        "quantize",
        graph,
        data=ManyNoise(),
        scheme="tensorrt",
        images=20,
        plan=plan,
        budget={"max_drop": drop},
        target="trt-int8@orin",
    )
    assert made.manifest.quantization.calibration == told
    assert read_json(made.file("plan.json"), PlannedPrecision).calibration == told


@pytest.mark.parametrize("text", ["openvino-int8", "ort-int8", "rtx-int8@sm86"])
def test_every_engine_builds_fitted_hardswish(swish, run_step, text):
    target = Target.parse(text)
    pytest.importorskip(PACKAGES[target.engine])
    child = run_step("build", swish(swish="hard", scheme=SCHEMES[target.engine]), target=text)
    assert child.manifest.kind == "engine" and child.manifest.quantization is not None


@pytest.mark.parametrize("text", ["openvino-int8", "ort-int8"])
def test_an_int8_engine_gives_the_class_maps_of_float(quantise, run_step, text):
    target = Target.parse(text)
    pytest.importorskip(PACKAGES[target.engine])
    child = run_step("build", quantise(SCHEMES[target.engine]), target=text)
    assert child.manifest.kind == "engine" and child.manifest.quantization is not None
    golden = np.load(child.file("golden.npz"))
    with load(child.path) as session:
        assert (session(golden["frames"]) == golden["class_map"]).mean() > 0.98


def test_openvino_decides_on_the_levels_of_the_scores(quantise, run_step):
    pytest.importorskip("openvino")
    parent = quantise("openvino")
    made = parent.manifest.quantization
    assert made.scores.scale > 0
    child = run_step("build", parent, target="openvino-int8")
    assert child.manifest.quantization.scores == made.scores
    deploy = onnx.load(str(child.file("deploy.onnx"))).graph
    (levels,) = (n for n in deploy.node if n.name == "postprocess/levels")
    assert levels.input[0] == "scores"
    kept = run_step("build", parent, target="openvino-int8", confidence=True)
    assert "postprocess/levels" not in {n.name for n in onnx.load(str(kept.file("deploy.onnx"))).graph.node}


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
    if not backend_for(Target.parse(text)).availability(Target.parse(text)).run:
        fallback = child.engine.float_fallback
        kinds = {t.data_type for t in onnx.load(str(child.file(fallback.graph))).graph.initializer}
        assert fallback.precisions == ("fp16",) and onnx.TensorProto.FLOAT16 in kinds


@pytest.fixture(params=["openvino-int8", "ort-int8"])
def deferred(request, quantise, run_step, monkeypatch):
    """An int8 bundle from a machine that could not make its engine; here it can be made."""
    target = Target.parse(request.param)
    pytest.importorskip(PACKAGES[target.engine])
    quantised, away = (
        quantise(SCHEMES[target.engine]),
        Availability(build=False, run=False, reason="far away"),
    )
    with monkeypatch.context() as patch:
        patch.setattr(type(backend_for(target)), "availability", lambda *_: away)
        return run_step("build", quantised, target=request.param)


@pytest.fixture
def timed(monkeypatch):
    """Both engines are really timed, for a moment; then the interval of the ratio is what the test says."""

    def end(high):
        def pair(int8, float_, settings, progress):
            quick = bench.BenchSettings(
                warmup=1, min_runs=4, min_seconds=0, openings=2, blocks=2, check=False
            )
            a, b, real, _ = bench.bench_pair(int8, float_, quick, progress)
            assert (real.clock, real.blocks) == ("device", 2) and real.ratio > 0
            said = PairedRatio(
                a=real.a, b=real.b, clock="device", openings=6, blocks=24, ratio=0.9, low=0.8, high=high
            )
            return a, b, said, said

        monkeypatch.setattr(gate, "bench_pair", pair)

    return end


def test_a_deferred_int8_bundle_carries_its_float_fallback(deferred, graph):
    fallback = deferred.engine.float_fallback
    assert deferred.manifest.kind == "deferred" and deferred.manifest.gate == gate.UNTIMED
    operators = {n.op_type for n in onnx.load(str(deferred.file(fallback.graph))).graph.node}
    assert not operators & {"QuantizeLinear", "DequantizeLinear"}
    assert fallback.precisions == (("fp32",) if "ort" in deferred.engine.target else ("bf16", "fp16", "fp32"))
    assert fallback.golden.file in deferred.manifest.files and fallback.notes == graph.manifest.notes


def test_int8_that_is_faster_on_the_device_ships(deferred, tmp_path, timed):
    timed(0.95)
    child = device_build.build(deferred, tmp_path / "child")
    assert child.engine.target == deferred.engine.target and child.manifest.quantization is not None
    assert set(deferred.manifest.files) < set(child.manifest.files)
    timed = child.manifest.gate
    assert timed.state == "won" and (timed.ratio, timed.low) == (0.9, 0.8)
    load(child.path).close()


def test_float_ships_where_int8_is_not_faster_for_certain(deferred, tmp_path, timed):
    timed(1.0)
    child = device_build.build(deferred, tmp_path / "child")
    found, target = child.manifest, Target.parse(child.engine.target)
    assert target.precision != "int8" and found.name.endswith(target.folder)
    assert (
        found.parent == deferred.as_parent()
        and found.quantization is None
        and child.engine.float_fallback is None
    )
    assert {f for f in found.files if not f.startswith("engine/")} == {
        "graph.onnx", "deploy_float.onnx", "golden_float.npz",
    }  # fmt: skip
    assert found.gate.state == "lost" and found.gate.against == str(target)
    assert found.build == BuildStatus(state="built", opened=True)
    assert sorted(p.name for p in child.path.iterdir()) == sorted(
        ["manifest.json", "engine", "graph.onnx", "deploy_float.onnx", "golden_float.npz"]
    )
    load(child.path).close()
    rebuilt = device_build.build(Bundle.open(child.path), tmp_path / "again")
    assert rebuilt.engine.target == str(target)


def test_a_gate_that_breaks_leaves_nothing(deferred, tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "bench_pair", lambda *_: 1 / 0)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ZeroDivisionError):
        device_build.build(deferred, tmp_path / "child")
    assert sorted(tmp_path.iterdir()) == before


def test_int8_engines_that_were_made_where_they_run_have_no_rival(quantise, run_step):
    pytest.importorskip("onnxruntime")
    child = run_step("build", quantise("onnxruntime"), target="ort-int8")
    assert child.engine.float_fallback is None and child.manifest.gate is None


def test_an_int8_target_needs_a_qdq_bundle_of_its_scheme(graph, quantise, run_step):
    with pytest.raises(TargetError, match="cannot be built from a bundle of kind 'onnx'"):
        run_step("build", graph, target="openvino-int8")
    quantised = quantise("openvino")
    with pytest.raises(TargetError, match="cannot be built from a bundle of kind 'qdq'"):
        run_step("build", quantised, target="openvino-fp32")
    with pytest.raises(BundleError, match="holds the int8 scheme 'openvino'"):
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
        quantise("openvino", keep=tuple(names))
    with pytest.raises(EdgesegError, match="does not have: nowhere"):
        quantise("openvino", keep=("nowhere",))
