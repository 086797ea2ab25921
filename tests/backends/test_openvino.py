import sys

import engines
import numpy as np
import pytest
from engines import run
from onnx import TensorProto, helper

from edgeseg.backends import backend_for
from edgeseg.core.bundle import EngineRecord, Hardware
from edgeseg.core.ports import BuildSettings, OpenSettings
from edgeseg.core.target import Target
from edgeseg.errors import GraphError, MissingDevice, TargetError, UnsupportedOperator

ov = pytest.importorskip("openvino")


def abilities():
    return ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def make(graph, folder, text="openvino-fp32+threads=1", **more):
    return engines.make(graph, folder, text, **more)


def test_signature_and_threads(deploy, folder, frames):
    built, engine = make(deploy, folder)
    assert (engine.inputs, engine.outputs) == (built.inputs, built.outputs)
    assert engine.threads == 1
    assert run(engine, frames).shape == (1, 32, 48)
    assert engine.notes == ()
    engine.close()


def test_fp16_weights_only_for_fp16(deploy, folder, tmp_path):
    backend = backend_for(Target.parse("openvino-fp32"))
    sizes = {}
    for precision in ("fp32", "bf16", "fp16"):
        target = Target.parse(f"openvino-{precision}")
        (tmp_path / precision).mkdir()
        backend.build(deploy, target, tmp_path / precision, BuildSettings())
        sizes[precision] = (tmp_path / precision / "model.bin").stat().st_size
    assert sizes["fp32"] == sizes["bf16"] > 1.5 * sizes["fp16"]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_precision_the_cpu_lacks_is_refused_at_opening(deploy, folder, precision):
    if precision.upper() in abilities():
        _, engine = make(deploy, folder, f"openvino-{precision}")
        assert any(layer.precision in ("bf16", "f16") for layer in engine.layers())
        return
    target = Target.parse(f"openvino-{precision}")
    can = backend_for(target).availability(target)
    assert can.build and not can.run and precision in can.reason
    with pytest.raises(MissingDevice, match=f"does not compute in {precision}"):
        make(deploy, folder, f"openvino-{precision}")


@pytest.mark.parametrize("device", ["gpu", "npu", "gpu.3"])
def test_device_that_is_not_here(deploy, folder, device):
    if any(d.lower().startswith(device) for d in ov.Core().available_devices):
        pytest.skip("it is here")
    target = Target.parse(f"openvino-fp16@{device}")
    can = backend_for(target).availability(target)
    assert can.build and not can.run and ("driver" in can.fix or "runtime" in can.fix)
    with pytest.raises(MissingDevice, match="OpenVINO finds CPU"):
        make(deploy, folder, str(target))
    assert (folder / "model.xml").exists()


@pytest.mark.parametrize("device", ["tpu", "cpu,gpu"])
def test_unknown_device(deploy, folder, device):
    target = Target.parse(f"openvino-fp32@{device}")
    with pytest.raises(TargetError, match="@npu"):
        backend_for(target).availability(target)
    with pytest.raises(TargetError, match="@npu"):
        make(deploy, folder, str(target))


def test_layers_tell_precision_and_time(deploy, folder, frames):
    _, engine = make(deploy, folder, profile=True)
    before = {layer.name: layer for layer in engine.layers()}
    assert before["conv1"].kind == "Convolution" and before["conv1"].precision == "f32"
    assert all(layer.milliseconds is None for layer in before.values())
    run(engine, frames)
    assert {layer.name: layer for layer in engine.layers()}["conv1"].milliseconds > 0


def opened(built, folder, cache):
    """The engine that `built` tells of, once more: OpenVINO numbers constants anew whenever it converts."""
    target = "openvino-fp32+threads=1"
    record = EngineRecord(target=target, graph="", hardware=built.hardware, camera_size=(1, 1))
    settings = OpenSettings(cache=cache)
    return backend_for(Target.parse(target)).open(folder / built.entry, record, settings)


def test_model_cache_is_filled_and_used(deploy, folder, frames, tmp_path):
    built, first = make(deploy, folder, cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    made = kept.stat().st_ino
    second = opened(built, folder, tmp_path / "cache")
    assert [*(tmp_path / "cache").iterdir()] == [kept] and kept.stat().st_ino == made
    assert np.array_equal(run(first, frames), run(second, frames))


def test_a_compiled_model_that_was_changed_is_made_again(deploy, folder, frames, tmp_path):
    built, first = make(deploy, folder, cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    whole = kept.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 20):
        changed = whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]
        kept.write_bytes(changed)
        engine = opened(built, folder, tmp_path / "cache")
        assert np.array_equal(run(engine, frames), run(first, frames))
        assert kept.read_bytes() != changed


def test_each_precision_has_a_model_of_its_own_in_the_cache(deploy, folder, tmp_path):
    """OpenVINO finds a compiled model by its file alone: one opened as fp32 was used for bf16 as well."""
    built, _ = make(deploy, folder)
    here = {"FP32", "BF16"}.intersection(abilities())
    for precision in sorted(here, reverse=True):
        record = EngineRecord(
            target=f"openvino-{precision.lower()}", graph="", hardware=built.hardware, camera_size=(1, 1)
        )
        cached = OpenSettings(cache=tmp_path / "cache")
        backend_for(Target.parse(record.target)).open(folder / built.entry, record, cached)
    assert len([*(tmp_path / "cache").rglob("*.blob")]) == len(here)


def test_cache_that_cannot_be_written_is_a_note(deploy, folder, frames, tmp_path):
    (tmp_path / "file").write_text("")
    _, engine = make(deploy, folder, cache=tmp_path / "file" / "cache")
    assert "cannot be written" in engine.notes[0]
    assert run(engine, frames).shape == (1, 32, 48)


def test_several_streams(deploy, folder, frames):
    _, engine = make(deploy, folder, "openvino-fp32+threads=2", streams=2)
    assert np.array_equal(run(engine, frames), run(engine, frames))


def test_other_cpu_family_is_noted(deploy, folder):
    _, engine = make(deploy, folder, hardware=Hardware(kind="cpu", name="Atom", family="x86-64"))
    assert "Atom" in engine.notes[0]


def test_unsupported_operator_is_named_with_its_node(save, make_operator, folder):
    with pytest.raises(UnsupportedOperator, match="'Det' \\(node 'det1'\\)"):
        make(save(make_operator("Det", "det1")), folder)
    with pytest.raises(UnsupportedOperator, match="'Frob' \\(node 'custom1'\\)"):
        make(save(make_operator("Frob", "custom1", "my.domain")), folder)


def test_a_setting_it_lacks_is_told_in_one_line(save, make_operator, folder):
    model = make_operator("Resize", "up")
    (resize,) = [node for node in model.graph.node if node.name == "up"]
    resize.input.extend(["", "scales"])
    resize.attribute.append(helper.make_attribute("mode", "linear"))
    resize.attribute.append(helper.make_attribute("coordinate_transformation_mode", "half_pixel_symmetric"))
    model.graph.initializer.append(helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 1.5, 1.5]))
    for dim in model.graph.output[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = 12
    with pytest.raises(
        GraphError, match=r"OpenVINO does not take the Resize that makes 'y'.*symmetric"
    ) as told:
        make(save(model), folder)
    assert len(str(told.value).splitlines()) == 2


def test_truncated_graph(deploy, folder):
    deploy.write_bytes(deploy.read_bytes()[:300])
    with pytest.raises(GraphError, match="truncated"):
        make(deploy, folder)


def test_pinned_engine_lets_go(deploy, folder, frames):
    os = pytest.importorskip("os")
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("only Linux pins processes")
    before = os.sched_getaffinity(0)
    _, engine = make(deploy, folder, f"openvino-fp32+cpus={min(before)}")
    assert os.sched_getaffinity(0) == {min(before)}
    assert engine.threads == 1
    run(engine, frames)
    engine.close()
    assert os.sched_getaffinity(0) == before


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    target = Target.parse("openvino-fp32")
    assert 'pip install "edgeseg[openvino]"' in backend_for(target).availability(target).fix
