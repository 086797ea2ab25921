"""What `inspect` tells about bundles of every kind and ONNX files."""

from __future__ import annotations

import json
import struct

import msgspec
import pytest

from edgeseg.core.bundle import Bundle, Check, Manifest, Parent, StepRecord
from edgeseg.core.drafts import draft
from edgeseg.errors import (
    BundleError,
    CheckpointError,
    GraphError,
    InputError,
    MissingDependency,
    MissingDevice,
)
from edgeseg.flow.inspect import inspect


def test_an_engine_bundle_shows_graph_signature_contract_and_engine(make_bundle):
    found = inspect(make_bundle())
    assert found.kind == "engine" and found.engine.target == "ort-fp32"
    assert found.graph.operators == {"Conv": 1}
    assert found.graph.parameters == 12
    assert found.graph.macs == 16 * 24 * 3 * 3
    assert found.deploy.operators["ArgMax"] == 1
    assert [(t.name, t.dtype, t.shape) for t in found.inputs] == [("frames", "uint8", (1, 16, 24, 3))]
    assert [(t.name, t.dtype, t.shape) for t in found.outputs] == [("class_map", "uint8", (1, 16, 24))]
    assert found.graph.layers[0].dtype == "float32"
    assert found.model.preprocess.std == (1.0, 1.0, 1.0)
    assert 0 < found.engine_mb < found.size_mb
    assert msgspec.json.encode(found)


def test_profiling_gives_times_of_layers(make_bundle):
    found = inspect(make_bundle(), profile=True)
    assert found.layers and any(layer.milliseconds is not None for layer in found.layers)


def test_an_engine_that_does_not_tell_its_layers_is_noted(make_bundle):
    found = inspect(make_bundle(target="null-fp32"))
    assert found.layers == () and "does not tell its layers" in found.notes[-1]


def test_a_deferred_bundle_shows_the_signature_of_its_graph(make_bundle):
    path = make_bundle(kind="deferred", target="trt-fp16")
    found = inspect(path)
    assert found.inputs[0].name == "frames" and found.engine_mb is None and found.layers == ()
    with pytest.raises(BundleError, match="nothing to profile"):
        inspect(path, profile=True)


def test_an_engine_of_another_machine_is_noted_and_not_profiled(make_bundle, monkeypatch):
    def no_device(*args, **kwargs):
        raise MissingDevice("no NVIDIA driver")

    path = make_bundle()
    monkeypatch.setattr("edgeseg.runtime.load", no_device)
    assert "no NVIDIA driver" in inspect(path).notes[-1]
    with pytest.raises(MissingDevice):
        inspect(path, profile=True)


def torch_bundle(make_bundle, tmp_path, weights):
    spec = Bundle.open(make_bundle()).manifest.model
    with draft(tmp_path / "torch") as work:
        (work.path / "weights.safetensors").write_bytes(weights)
        work.finish(
            Manifest(
                kind="torch",
                name="colors-torch",
                model=spec,
                weights="weights.safetensors",
                parent=Parent("f" * 64, "torch", "older"),
                step=StepRecord(name="train"),
                checks=(Check(what="a", against="b", inputs="random", max_error=1e-6),),
                notes=("made by hand",),
            )
        )
    return tmp_path / "torch"


def safetensors(header):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(40)


def test_a_torch_bundle_shows_weights_lineage_and_checks(make_bundle, tmp_path):
    header = {
        "__metadata__": {"made": "by hand"},
        "conv.weight": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]},
        "conv.bias": {"dtype": "F32", "shape": [], "data_offsets": [12, 16]},
    }
    found = inspect(torch_bundle(make_bundle, tmp_path, safetensors(header)))
    assert (found.weights.tensors, found.weights.values) == (2, 7)
    assert found.weights.dtypes == {"F16": 6, "F32": 1}
    assert found.graph is None and found.lineage[0].name == "older"
    assert found.step.name == "train" and len(found.checks) == 1 and "made by hand" in found.notes


@pytest.mark.parametrize("weights", [b"", b"short", struct.pack("<Q", 4) + b"[1]x", safetensors({"a": 1})])
def test_broken_weights_are_named(make_bundle, tmp_path, weights):
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is not a safetensors file"):
        inspect(torch_bundle(make_bundle, tmp_path, weights))


def test_a_broken_weight_of_an_onnx_file_is_noted(make_bundle, tmp_path):
    import onnx

    model = onnx.load(str(make_bundle() / "graph.onnx"))
    first = model.graph.initializer[0]
    values = onnx.numpy_helper.to_array(first) * float("nan")
    first.CopyFrom(onnx.numpy_helper.from_array(values, first.name))
    onnx.save(model, str(tmp_path / "user.onnx"))
    (note,) = inspect(tmp_path / "user.onnx").notes
    assert f"the weight '{first.name}' holds NaN" in note


def test_an_onnx_file_shows_operators_and_signature_with_dynamic_dimensions(make_bundle, tmp_path):
    import onnx

    model = onnx.load(str(make_bundle() / "graph.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, str(tmp_path / "user.onnx"))
    found = inspect(tmp_path / "user.onnx")
    assert found.kind == "onnx-file" and found.name == "user" and found.model is None
    assert found.graph.operators == {"Conv": 1} and found.graph.opset == 18
    assert found.inputs[0].shape == (-1, 3, 16, 24)
    assert "open dimensions" in found.notes[0]
    with pytest.raises(InputError, match="no engine to profile"):
        inspect(tmp_path / "user.onnx", profile=True)


def test_weights_written_as_constants_count_as_parameters(make_bundle, tmp_path):
    import onnx

    model = onnx.load(str(make_bundle() / "graph.onnx"))
    nodes = [onnx.helper.make_node("Constant", [], [t.name], value=t) for t in model.graph.initializer]
    conv = model.graph.node[0]
    del model.graph.initializer[:]
    graph = onnx.helper.make_graph([*nodes, conv], "colors", model.graph.input, model.graph.output)
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), str(tmp_path / "user.onnx"))
    found = inspect(tmp_path / "user.onnx")
    assert found.graph.parameters == 12 and found.graph.operators == {"Conv": 1}


def test_what_is_no_bundle_and_no_onnx_is_refused(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"not protobuf at all")
    with pytest.raises(GraphError, match=r"broken\.onnx is not an ONNX file"):
        inspect(tmp_path / "broken.onnx")
    with pytest.raises(BundleError, match="is not a bundle"):
        inspect(tmp_path)
    with pytest.raises(BundleError, match="is not a bundle"):
        inspect(tmp_path / "nowhere")


def test_without_onnx_a_bundle_still_opens_and_a_file_names_the_extra(make_bundle, monkeypatch):
    import sys

    path = make_bundle()
    monkeypatch.setitem(sys.modules, "onnx", None)
    found = inspect(path)
    assert found.graph is None and found.inputs[0].name == "frames"
    assert any("graphs not read" in note for note in found.notes)
    with pytest.raises(MissingDependency, match=r"edgeseg\[train\]"):
        inspect(path / "graph.onnx")
