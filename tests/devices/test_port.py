"""One suite over every device: what this machine does, a far one does, with the same results."""

from __future__ import annotations

import msgspec
import numpy as np
import onnx
import pytest
from far import far_device
from small import deferred, write_recipe

from edgeseg.core.bundle import EngineRecord
from edgeseg.core.ports import BuildSettings, OpenSettings
from edgeseg.core.target import Target
from edgeseg.device.build import make_engine
from edgeseg.device.race import EngineFile, RaceSettings
from edgeseg.device.settings import BenchSettings
from edgeseg.device.timing import Effort, Rounds
from edgeseg.devices.local import LOCAL
from edgeseg.errors import BundleError, GraphError, InputError, TargetError
from edgeseg.flow.make import export
from edgeseg.runtime.session import Session

QUICK = BenchSettings(warmup=1, min_runs=30, min_seconds=0.0, openings=2, blocks=4)
ENGINES = ["ort", "openvino"]


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    with far_device(tmp_path_factory.mktemp("far")) as device:
        yield device


@pytest.fixture(params=["local", "far"])
def device(request, far):
    return LOCAL if request.param == "local" else far


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Of one network: engine bundles of ONNX Runtime and OpenVINO."""
    folder = tmp_path_factory.mktemp("made")
    for engine in ENGINES:
        pytest.importorskip({"ort": "onnxruntime"}.get(engine, engine))
    recipe = write_recipe(folder / "net", targets=tuple(f"{engine}-fp32" for engine in ENGINES))
    return dict(zip(ENGINES, export(recipe, folder, folder / "bundles")))


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)


def test_a_device_describes_itself(device):
    found = device.describe()
    assert found.machine.environment.cores >= 1
    assert {"null-fp32", "ort-fp32"} <= {one.target for one in found.targets if one.run}


def test_a_far_device_is_another_place(far):
    assert far.describe().machine.cache != LOCAL.describe().machine.cache


@pytest.mark.parametrize(
    "target", ["ort-fp32", "openvino-int8", "ort-fp32@cuda", "trt-fp16@orin", "rtx-int8"]
)
def test_availability_is_that_of_the_machine(device, target):
    wanted = Target.parse(target)
    assert device.backend(wanted).availability(wanted) == LOCAL.backend(wanted).availability(wanted)


def test_a_target_that_nobody_has_is_refused(device):
    with pytest.raises(TargetError, match="bf16"):
        device.backend(Target.parse("ort-bf16"))


@pytest.mark.parametrize("engine", ENGINES)
def test_frames_give_the_class_maps_they_give_here(device, bundles, frames, engine):
    bundle = bundles[engine]
    with Session(bundle, OpenSettings()) as here:
        wanted = here(frames)
    with Session(bundle, OpenSettings(), backends=device.backend) as session:
        assert session.engine.threads >= 1
        np.testing.assert_array_equal(session(frames), wanted)
        with pytest.raises(InputError, match="the frame is"):
            session(frames[:, :-1])


def test_an_engine_is_built_and_tells_its_layers(device, bundles, tmp_path):
    bundle = bundles["openvino"]
    record = msgspec.structs.replace(bundle.engine, entry="")
    (tmp_path / record.graph).write_bytes(bundle.file(record.graph).read_bytes())
    made, _ = make_engine(record, tmp_path, BuildSettings(), backends=device.backend)
    assert (made.inputs, made.outputs) == (bundle.engine.inputs, bundle.engine.outputs)
    assert made.engine_version == bundle.engine.engine_version
    backend = device.backend(Target.parse(made.target))
    engine = backend.open(tmp_path / made.entry, made, OpenSettings(profile=True))
    try:
        request = engine.request()
        request.write({"frames": np.zeros((1, 32, 32, 3), np.uint8)})
        assert request.execute() > 0
        layers = engine.layers()
    finally:
        engine.close()
    assert any(layer.kind == "Convolution" and layer.milliseconds for layer in layers)


def test_a_graph_that_no_engine_reads_is_an_error_of_the_same_kind(device, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    target = Target.parse("openvino-fp32")
    record = EngineRecord(target=str(target), graph="broken.onnx", camera_size=(1, 1))
    with pytest.raises(GraphError):
        make_engine(record, tmp_path, BuildSettings(), backends=device.backend)


@pytest.mark.parametrize("profile", [False, True])
def test_engines_take_turns(device, bundles, profile):
    files = [EngineFile(b.file(b.engine.entry), b.engine) for b in bundles.values()]
    settings = RaceSettings(rounds=Rounds(2, 3), effort=Effort(runs=4, seconds=0.0), profile=profile)
    inputs = {"frames": np.full((1, 32, 32, 3), 7, np.uint8)}
    found = device.race(files, settings, inputs)
    assert [[[len(turn.milliseconds) for turn in turns] for turns in one] for one in found] == [
        [[4] * 3] * 2
    ] * 2
    assert all(ms > 0 for one in found for turns in one for turn in turns for ms in turn.milliseconds)
    assert [bool(turn.layers) for one in found for turns in one for turn in turns] == [profile] * 12


def test_a_bundle_is_timed_and_compared(device, bundles):
    first, second = bundles.values()
    found = device.bench(first.path, QUICK)
    assert found.bundle_id == first.id and len(found.host_samples_ms) >= 30 and found.machine
    a, b, on_device, on_host = device.compare(first.path, second.path, QUICK)
    assert (a.bundle_id, b.bundle_id) == (first.id, second.id)
    assert (on_device.clock, on_host.clock, on_device.openings) == ("device", "host", 2)


def test_a_deferred_bundle_is_built_there(device, bundles, tmp_path, frames):
    parent = deferred(bundles["openvino"], tmp_path / "deferred")
    child = device.build(parent, tmp_path / "child", {})
    assert child.manifest.parent.id == parent.id and child.manifest.build.opened
    with Session(child, OpenSettings()) as one, Session(bundles["openvino"], OpenSettings()) as other:
        np.testing.assert_array_equal(one(frames), other(frames))
    with pytest.raises(BundleError, match="exists"):
        device.build(parent, tmp_path / "child", {})
    assert device.build(parent, tmp_path / "child", {}, overwrite=True).id
    with pytest.raises(InputError, match="workspace_mb"):
        device.build(parent, tmp_path / "other", {"workspace_mb": 1})
    assert not (tmp_path / "other").exists()
    assert device.bench(parent.path, QUICK).bundle_id, "built in the cache of the device"


def test_a_bundle_is_scored(device, bundles, frames, tmp_path):
    bundle = bundles["ort"]
    with Session(bundle, OpenSettings()) as session:
        np.save(tmp_path / "labels.npy", session(frames))
    np.save(tmp_path / "frames.npy", frames)
    found = device.score(bundle.path, tmp_path / "frames.npy", tmp_path / "labels.npy")
    assert (found.value, found.frames, found.bundle_id) == (1.0, 5, bundle.id)


def test_operators_are_asked_for(device, bundles, tmp_path):
    model = onnx.load(str(bundles["ort"].file("deploy.onnx")))
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, str(tmp_path / "odd.onnx"))
    target = Target.parse("ort-fp32")
    with pytest.raises(GraphError, match="NoSuchOperator"):
        device.backend(target).check(tmp_path / "odd.onnx", target)
