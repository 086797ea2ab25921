import json
import sys

import engines
import numpy as np
import pytest
from engines import run

from edgeseg.backends import backend_for
from edgeseg.backends.onnxruntime import read_profile
from edgeseg.core.bundle import EngineRecord, Hardware
from edgeseg.core.ports import BuildSettings, OpenSettings
from edgeseg.core.target import Target
from edgeseg.errors import GraphError, MissingDependency, MissingDevice, TargetError, UnsupportedOperator

ort = pytest.importorskip("onnxruntime")


def make(graph, folder, text="ort-fp32", **more):
    return engines.make(graph, folder, text, **more)


def test_engine_is_the_graph(deploy, folder, frames):
    built, engine = make(deploy, folder, "ort-fp32+threads=1")
    assert (folder / built.entry).read_bytes() == deploy.read_bytes()
    assert engine.threads == 1
    reference = ort.InferenceSession(str(deploy), providers=["CPUExecutionProvider"])
    assert np.array_equal(run(engine, frames), reference.run(None, {"frames": frames})[0])
    assert engine.layers() == ()
    engine.close()


def test_fp16_on_a_cpu_says_that_it_is_emulated(deploy_half, folder, frames, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    built, engine = make(deploy_half, folder, "ort-fp16")
    assert "fp32" in built.notes[0]
    assert run(engine, frames).shape == (1, 32, 48)


def test_layers_after_profiling(deploy, folder, frames):
    _, engine = make(deploy, folder, profile=True)
    run(engine, frames)
    layers = engine.layers()
    assert any(layer.kind == "Conv" and layer.precision == "float" for layer in layers)
    assert all(layer.milliseconds is not None for layer in layers)
    assert engine.layers() == layers
    engine.close()


def test_profile_keeps_the_last_run():
    event = {
        "cat": "Node",
        "name": "c_kernel_time",
        "args": {"op_name": "Conv", "output_type_shape": [{"float16": [1]}]},
    }
    events = [{**event, "dur": 2000}, {**event, "dur": 500}, {"cat": "Session", "name": "run", "dur": 1}]
    (layer,) = read_profile(json.dumps(events).encode())
    assert (layer.name, layer.precision, layer.milliseconds) == ("c", "float16", 0.5)


def test_unsupported_operator_is_named_with_its_node(save, make_operator, folder):
    with pytest.raises(UnsupportedOperator, match="'Frob' \\(node 'custom1'\\)"):
        make(save(make_operator("Frob", "custom1", "my.domain")), folder)


def test_graph_that_is_not_valid(save, make_deploy, folder):
    model = make_deploy()
    model.graph.node[3].input[1] = "nowhere"
    with pytest.raises(GraphError, match="ONNX Runtime cannot read"):
        make(save(model), folder)


def test_cuda_that_is_not_here(deploy, folder):
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("CUDA is here")
    target = Target.parse("ort-fp32@cuda")
    can = backend_for(target).availability(target)
    assert can.build and not can.run
    assert "CPUExecutionProvider" in can.reason and "onnxruntime-gpu" in can.fix
    with pytest.raises(MissingDevice, match="CPUExecutionProvider"):
        make(deploy, folder, "ort-fp32@cuda")


def test_provider_that_does_not_start_is_no_silent_cpu(deploy, folder, monkeypatch):
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(MissingDevice, match="would have run on the CPU"), pytest.warns(UserWarning):
        make(deploy, folder, "ort-fp32@cuda.1")


@pytest.mark.parametrize("hardware", ["npu", "cuda.x", "cpu,cuda"])
def test_unknown_hardware(deploy, folder, hardware):
    with pytest.raises(TargetError, match="@cuda"):
        make(deploy, folder, f"ort-fp32@{hardware}")


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    target = Target.parse("ort-fp32")
    can = backend_for(target).availability(target)
    assert not can.build and 'pip install "edgeseg[ort]"' in can.fix
    with pytest.raises(MissingDependency):
        backend_for(target).build(None, target, None, BuildSettings())


def test_other_cpu_family_is_noted(deploy, folder):
    backend = backend_for(Target.parse("ort-fp32"))
    make(deploy, folder)
    record = EngineRecord(
        target="ort-fp32",
        graph="",
        hardware=Hardware(kind="cpu", name="Atom", family="x86-64"),
        camera_size=(1, 1),
    )
    engine = backend.open(folder / "model.onnx", record, OpenSettings())
    assert "Atom" in engine.notes[0]
