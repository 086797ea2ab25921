"""One engine bundle per target, each whole: plain graph, typed deploy graph, golden frames, engine."""

from __future__ import annotations

import shutil

import msgspec
import numpy as np
import onnx
import pytest
from noise_data import NoiseData

from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle, TensorInfo
from edgeseg.core.drafts import draft
from edgeseg.core.ports import BuildSettings
from edgeseg.core.target import Target
from edgeseg.device.build import make_engine
from edgeseg.device.opening import WrongEngine
from edgeseg.errors import TargetError
from edgeseg.runtime import load
from edgeseg.steps._difference import first_difference
from edgeseg.steps._proof import prove_engine, prove_file

FRAMES = TensorInfo("frames", "uint8", (1, 32, 48, 3))
CLASS_MAP = TensorInfo("class_map", "uint8", (1, 32, 48))
PACKAGES = {"openvino": "openvino", "ort": "onnxruntime", "rtx": "tensorrt_rtx", "null": "numpy"}


@pytest.fixture
def graph(torch_bundle, run_step):
    return run_step("export", torch_bundle())


@pytest.mark.parametrize(
    "text",
    ["ort-fp32", "ort-fp16", "openvino-fp32", "openvino-bf16", "openvino-fp16", "null-fp32", "rtx-fp16",
     "rtx-fp16@sm75", "rtx-fp32@sm86,sm89"],
)  # fmt: skip
def test_an_engine_that_can_be_made_here(graph, run_step, text):
    pytest.importorskip(PACKAGES[text.partition("-")[0]])
    target = Target.parse(text)
    if not backend_for(target).availability(target).build:
        pytest.skip(f"{text} cannot be built here")
    child = run_step("build", graph, target=text)
    record = child.engine
    assert child.manifest.kind == "engine"
    assert record.target == text and record.engine == target.engine and record.engine_version
    assert (record.inputs, record.outputs) == ((FRAMES,), (CLASS_MAP,))
    assert child.file(record.entry).stat().st_size > 0
    assert record.entry.startswith("engine/")
    assert child.manifest.checks[: len(graph.manifest.checks)] == graph.manifest.checks
    opened = child.manifest.checks[len(graph.manifest.checks) :]
    assert all(check.agreement > 0.995 for check in opened) and (opened or target.engine == "null")


def test_hardware_of_an_engine_made_ahead_of_time(graph, run_step):
    pytest.importorskip("tensorrt_rtx")
    assert run_step("build", graph, target="rtx-fp16@sm75").engine.hardware.family == "sm75"
    assert run_step("build", graph, target="rtx-fp16@sm86,sm89").engine.hardware.family == "sm86 sm89"


@pytest.mark.parametrize("text", ["trt-fp16", "trt-fp32@orin"])
def test_an_engine_that_cannot_be_made_here_is_deferred_and_complete(graph, run_step, text):
    target = Target.parse(text)
    if backend_for(target).availability(target).build:
        pytest.skip("TensorRT is here")
    child = run_step("build", graph, target=text)
    assert child.manifest.kind == "deferred"
    assert child.engine.entry == "" and child.engine.target == text
    assert set(child.manifest.files) == {"graph.onnx", "deploy.onnx", "golden.npz"}
    assert child.engine.settings["cuda_graph"] is True
    assert child.manifest.build.state == "deferred" and child.manifest.build.reason
    note = child.manifest.sentences()[-1]
    assert "not built here" in note and "edgeseg build" in note


def test_the_plain_graph_is_kept_in_float32(graph, run_step):
    child = run_step("build", graph, target="ort-fp16")
    plain, given = (onnx.load(str(b.file(b.manifest.graph))) for b in (child, graph))
    assert plain == given
    assert {t.data_type for t in plain.graph.initializer} == {onnx.TensorProto.FLOAT}
    deploy = onnx.load(str(child.file(child.engine.graph)))
    assert onnx.TensorProto.FLOAT16 in {t.data_type for t in deploy.graph.initializer}


def test_golden_frames_are_what_the_float_network_gives(graph, run_step):
    child = run_step("build", graph, target="ort-fp32")
    with np.load(child.file(child.manifest.golden.file)) as golden:
        frames, class_map, confident = golden["frames"], golden["class_map"], golden["confident"]
    assert frames.shape == (5, 32, 48, 3) and class_map.shape == confident.shape == (5, 32, 48)
    assert len(np.unique(class_map)) > 1 and confident.any()
    with load(child.path, threads=1) as session:
        np.testing.assert_array_equal(session(frames)[confident], class_map[confident])


def test_an_engine_that_computes_nothing_has_no_golden_frames(graph, run_step):
    assert run_step("build", graph, target="null-fp32").manifest.golden is None


@pytest.mark.parametrize("text", ["ort-fp16", "trt-fp16"])
def test_a_network_that_overflows_in_half_precision_names_what_stays(torch_bundle, run_step, text):
    graph = run_step("export", torch_bundle(gain=1e6))
    child = run_step("build", graph, target=text)
    (note,) = (n for n in child.manifest.notes if "kept in fp32" in n)
    kept = note.partition(": ")[2].split(", ")
    names = {n.name for n in onnx.load(str(child.file("deploy.onnx"))).graph.node}
    assert kept and set(kept) <= names
    if text == "ort-fp16":
        with np.load(child.file("golden.npz")) as golden, load(child.path, threads=1) as session:
            assert (session(golden["frames"]) == golden["class_map"]).mean() > 0.99


def test_a_network_that_fits_says_nothing(graph, run_step):
    assert not any("kept in fp32" in n for n in run_step("build", graph, target="ort-fp16").manifest.notes)


def test_confidence_is_another_output(graph, run_step):
    record = run_step("build", graph, target="ort-fp32", confidence=True).engine
    assert record.outputs == (CLASS_MAP, TensorInfo("confidence", "float32", (1, 32, 48)))


@pytest.mark.parametrize("text", ["ort-bf16", "nope-fp16"])
def test_a_target_that_does_not_exist_leaves_nothing(graph, run_step, tmp_path, text):
    with pytest.raises(TargetError):
        run_step("build", graph, target=text)
    assert not list(tmp_path.glob("*build*"))


def _tampered(child, tmp_path, *, at=0):
    """The bundle of a build whose engine is that of a network with one channel negated, or what `at` says."""
    model = onnx.load(str(child.file(child.engine.graph)))
    weights = next(t for t in model.graph.initializer if len(t.dims) == 4)
    values = onnx.numpy_helper.to_array(weights).copy()
    values[at] *= -1
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    with draft(tmp_path / "tampered") as work:
        onnx.save(model, str(work.path / child.engine.graph))
        shutil.copyfile(child.file("golden.npz"), work.path / "golden.npz")
        record, _ = make_engine(msgspec.structs.replace(child.engine, entry=""), work.path, BuildSettings())
        work.finish(msgspec.structs.replace(child.manifest, engine=record))
    return Bundle.open(tmp_path / "tampered")


@pytest.mark.parametrize(
    ("text", "rest"),
    [("ort-fp32", "fp32"), ("ort-fp16", "fp16"), ("openvino-fp32", ""), ("openvino-bf16", "")],
)
def test_a_wrong_engine_is_refused_where_it_is_made_and_names_the_node(graph, run_step, tmp_path, text, rest):
    pytest.importorskip(PACKAGES[text.partition("-")[0]])
    target = Target.parse(text)
    if not backend_for(target).availability(target).run:
        pytest.skip(f"{text} does not run here")
    child = run_step("build", graph, target=text)
    with pytest.raises(WrongEngine, match="not by rounding"):
        prove_engine(_tampered(child, tmp_path), rest, tmp_path / "cache")


@pytest.mark.parametrize("text", ["ort-int8", "openvino-int8"])
def test_of_int8_a_fault_that_moves_few_pixels_is_refused_without_its_levels(graph, run_step, tmp_path, text):
    """Three weights of another sign move 0.2% of the pixels: between levels, rounding moves as many."""
    pytest.importorskip(PACKAGES[text.partition("-")[0]])
    scheme = "openvino" if text == "openvino-int8" else "onnxruntime"
    child = run_step("build", run_step("quantize", graph, data=NoiseData(), scheme=scheme), target=text)
    assert {check.what for check in child.manifest.checks} >= {text, text.replace("int8", "fp32")}
    wrong = _tampered(child, tmp_path, at=np.s_[4, :, 0, 0])
    with pytest.raises(WrongEngine, match=f"in float32, as {text.replace('int8', 'fp32')}"):
        prove_engine(wrong, "fp32" if text == "ort-int8" else "", tmp_path / "cache")


@pytest.mark.parametrize("text", ["trt-fp16", "rtx-fp32"])
def test_the_file_of_an_engine_that_does_not_run_here_is_checked(graph, run_step, tmp_path, text):
    target = Target.parse(text)
    if backend_for(target).availability(target).run:
        pytest.skip(f"{text} runs here")
    child = run_step("build", graph, target=text)
    assert child.manifest.checks[-1].agreement == 1.0
    with np.load(child.file("golden.npz")) as arrays:
        golden = dict(arrays)
    golden["stored/class_map"] = (golden["stored/class_map"] + 1) % 3
    with draft(tmp_path / "other") as work:
        onnx.save(onnx.load(str(child.file("deploy.onnx"))), str(work.path / "deploy.onnx"))
        np.savez(work.path / "golden.npz", **golden)
        work.finish(child.manifest)
    with pytest.raises(WrongEngine, match="something else than the network"):
        prove_file(Bundle.open(tmp_path / "other", check_files=False))


def test_the_first_node_that_differs_is_named(graph, run_step):
    pytest.importorskip("openvino")
    child = run_step("build", graph, target="openvino-fp32")
    assert "No node differs" in first_difference(child, "stored")


def test_the_bundle_says_what_its_check_compares_and_shows(graph, run_step):
    golden = run_step("build", graph, target="ort-fp16").manifest.golden
    assert 0 < golden.compared <= 1
    assert golden.shows is not None and golden.shows >= 1 - golden.min_agreement
