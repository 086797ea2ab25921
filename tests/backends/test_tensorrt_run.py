"""The order of calls on the GPU, against a fake driver and runtime: execution itself needs `make gpu`."""

import json

import numpy as np
import pytest
from fake_gpu import SHAPE, FakeDriver, fake_trt

from edgeseg.backends._cache_files import read_if_whole
from edgeseg.backends._cuda import Cuda
from edgeseg.backends._tensorrt_package import DISTRIBUTIONS
from edgeseg.backends._tensorrt_run import TensorRtEngine, read_inspector
from edgeseg.core.bundle import EngineRecord, TensorInfo
from edgeseg.core.ports import Layer, OpenSettings
from edgeseg.errors import BundleError, EngineMismatch, InputError, MissingDevice

INPUTS = (TensorInfo("frames", "uint8", SHAPE),)
OUTPUTS = (TensorInfo("class_map", "uint8", SHAPE[:3]),)


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


@pytest.fixture
def launch(tmp_path):
    def start(driver, engine="trt", trt=None, cuda_graph=True, **settings):
        entry = tmp_path / "engine.plan"
        entry.write_bytes(b"plan")
        record = EngineRecord(
            target=f"{engine}-fp16",
            graph="",
            camera_size=SHAPE[1:3],
            inputs=INPUTS,
            outputs=OUTPUTS,
            settings={"cuda_graph": cuda_graph},
        )
        trt = trt or fake_trt(driver)
        return TensorRtEngine(
            DISTRIBUTIONS[engine], trt, Cuda(driver), entry, record, OpenSettings(**settings)
        )

    return start


def run(request, frames):
    request.write({"frames": frames})
    assert request.execute() == 2.5
    return request.read()["class_map"].copy()


def expected(frames):
    return (frames[..., 0] > 127).astype(np.uint8)


def test_plain_run_in_order(launch, frames):
    driver = FakeDriver()
    engine = launch(driver, cuda_graph=False)
    request = engine.request()
    order = [c for c in driver.calls if c.startswith(("alloc", "address"))]
    assert order == ["alloc"] * 4 + ["address frames", "address class_map"]
    driver.calls.clear()
    assert np.array_equal(run(request, frames), expected(frames))
    relevant = [c for c in driver.calls if not c.startswith("cu")]
    assert relevant == ["upload", "sync", "record", "enqueue", "record", "sync", "download", "sync"]


def test_graph_is_captured_after_one_plain_run_and_then_replayed(launch, frames):
    driver = FakeDriver()
    request = launch(driver).request()
    request.write({"frames": frames})
    driver.calls.clear()
    request.execute()
    capture = ["enqueue", "sync", "begin capture", "enqueue", "end capture", "instantiate"]
    replay = ["record", "launch", "record", "sync"]
    assert [c for c in driver.calls if not c.startswith("cu")] == capture + replay
    driver.calls.clear()
    other = 255 - frames
    assert np.array_equal(run(request, other), expected(other))
    assert "enqueue" not in driver.calls and "launch" in driver.calls


def test_refused_capture_is_noted_and_runs_plainly(launch, frames):
    engine = launch(FakeDriver(refuse=["begin capture"]))
    request = engine.request()
    assert np.array_equal(run(request, frames), expected(frames))
    assert "no CUDA graph" in engine.notes[0]
    run(request, frames)
    assert len(engine.notes) == 1


def test_requests_are_apart(launch, frames):
    engine = launch(FakeDriver())
    first, second = engine.request(), engine.request()
    first.write({"frames": frames})
    second.write({"frames": 255 - frames})
    first.execute()
    second.execute()
    assert np.array_equal(first.read()["class_map"], expected(frames))
    assert np.array_equal(second.read()["class_map"], expected(255 - frames))
    kept = first.read()["class_map"].copy()
    run(first, 255 - frames)
    assert np.array_equal(kept, expected(frames))


def test_context_is_current_in_every_call(launch, frames):
    driver = FakeDriver()
    request = launch(driver).request()
    for call in (lambda: request.write({"frames": frames}), request.execute, request.read):
        driver.calls.clear()
        call()
        assert driver.calls[0] == "cuCtxSetCurrent"


def test_close_frees_everything(launch, frames):
    driver = FakeDriver()
    engine = launch(driver)
    run(engine.request(), frames)
    run(engine.request(), frames)
    engine.close()
    engine.close()
    assert driver.memory == {}
    assert driver.calls.count("cuStreamDestroy_v2") == 2
    assert driver.calls.count("cuGraphExecDestroy") == 2
    assert (
        driver.calls.count("cuDevicePrimaryCtxRelease_v2")
        == driver.calls.count("cuDevicePrimaryCtxRetain")
        == 1
    )


def test_rtx_captures_by_itself_and_keeps_its_kernels(launch, frames, tmp_path):
    driver = FakeDriver()
    trt = fake_trt(driver)
    engine = launch(driver, "rtx", trt, cache=tmp_path / "cache")
    request = engine.request()
    assert np.array_equal(run(request, frames), expected(frames))
    assert "begin capture" not in driver.calls
    assert trt.engine.contexts[0].config.cuda_graph_strategy == "WHOLE"
    assert trt.engine.contexts[0].config.cache.loaded == b""
    engine.close()
    (file,) = (tmp_path / "cache").iterdir()
    assert read_if_whole(file) == b"kernels"

    again = fake_trt(driver)
    launch(driver, "rtx", again, cache=tmp_path / "cache").request()
    assert again.engine.contexts[0].config.cache.loaded == b"kernels"


def test_rtx_without_graph_or_with_profile_does_not_capture(launch):
    for settings in ({"cuda_graph": False}, {"profile": True}):
        driver = FakeDriver()
        trt = fake_trt(driver)
        launch(driver, "rtx", trt, **settings).request()
        assert trt.engine.contexts[0].config.cuda_graph_strategy == "DISABLED"


def test_cache_that_cannot_be_written_is_a_note(launch, frames, tmp_path):
    (tmp_path / "file").write_text("")
    engine = launch(FakeDriver(), "rtx", cache=tmp_path / "file" / "cache")
    assert "cannot be written" in engine.notes[0]
    assert np.array_equal(run(engine.request(), frames), expected(frames))
    engine.close()


def test_profile_gives_layer_times_of_the_last_run(launch, frames):
    driver = FakeDriver()
    engine = launch(driver, profile=True)
    assert engine.layers()[0].milliseconds is None
    request = engine.request()
    run(request, frames)
    run(request, frames)
    (layer,) = engine.layers()
    assert (layer.name, layer.kind, layer.precision, layer.milliseconds) == (
        "conv1",
        "CaskConvolution",
        "Half",
        0.5,
    )
    assert "begin capture" not in driver.calls


def test_refused_plan_gives_the_reasons(launch):
    driver = FakeDriver()
    with pytest.raises(EngineMismatch, match="unsupported cc; Version tag does not match"):
        launch(driver, trt=fake_trt(driver, engine=False))
    assert driver.calls[-1] == "cuDevicePrimaryCtxRelease_v2"


def test_plan_with_another_signature_is_refused(launch):
    driver = FakeDriver()
    with pytest.raises(BundleError, match=r"\[1, 8, 8, 3\]"):
        launch(driver, trt=fake_trt(driver, shape=(1, 8, 8, 3)))


def test_enqueue_that_fails_is_an_error(launch, frames):
    driver = FakeDriver()
    trt = fake_trt(driver)
    request = launch(driver, trt=trt, cuda_graph=False).request()
    trt.engine.contexts[0].works = False
    request.write({"frames": frames})
    with pytest.raises(MissingDevice, match="could not enqueue"):
        request.execute()


def test_wrong_shape_is_refused(launch, frames):
    with pytest.raises(InputError, match=r"uint8 \[1, 4, 6, 3\]"):
        launch(FakeDriver()).request().write({"frames": frames[:, :2]})


@pytest.mark.parametrize(
    ("layer", "precision"),
    [
        ({"Outputs": [{"Format/Datatype": "Row major linear FP16 format"}]}, "FP16"),  # 10.x
        ({"Outputs": [{"DataType": "Float", "Format": "Linear"}]}, "Float"),  # 11.x
        ({"Outputs": [], "Inputs": [{"Datatype": "UInt8"}]}, "UInt8"),  # TensorRT-RTX 1.7
        ({}, ""),
    ],
)
def test_inspector_of_all_versions(layer, precision):
    text = json.dumps({"Layers": [{"Name": "a", "LayerType": "Conv", **layer}], "Bindings": ["x"]})
    (found,) = read_inspector(text, {"a": 1.5})
    assert found == Layer(name="a", kind="Conv", precision=precision, milliseconds=1.5, nodes=("a",))


def test_inspector_with_names_only():
    assert read_inspector('{"Layers": ["a"]}', {}) == (Layer(name="a", kind="", nodes=("a",)),)


@pytest.mark.parametrize(
    "layer",
    [
        {"Name": "conv1 + relu1"},
        {"Name": "myelin_1", "Metadata": "[ONNX Layer: conv1]\x1e[ONNX Layer: relu1]"},
    ],
)
def test_a_fused_layer_tells_the_nodes_of_the_file(layer):
    assert read_inspector(json.dumps({"Layers": [layer]}), {})[0].nodes == ("conv1", "relu1")
