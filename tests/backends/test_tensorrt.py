"""Builds with the real TensorRT-RTX builder, which needs no GPU."""

import importlib
import types
from pathlib import Path

import numpy as np
import pytest

from edgeseg.backends import backend_for, tensorrt
from edgeseg.backends._cuda import Device
from edgeseg.backends._tensorrt_build import _network_flags, cast_to_uint8_from_float
from edgeseg.backends._tensorrt_package import (
    DISTRIBUTIONS,
    built_for,
    compute_capabilities,
    load_package,
    make_logger,
    require_fit,
    require_match,
    require_same_device,
)
from edgeseg.core.bundle import EngineRecord, Hardware, TensorInfo
from edgeseg.core.ports import BuildSettings, OpenSettings
from edgeseg.core.target import Target
from edgeseg.errors import (
    EngineMismatch,
    GraphError,
    MissingDependency,
    MissingDevice,
    TargetError,
    UnsupportedOperator,
)

TRT, RTX = DISTRIBUTIONS["trt"], DISTRIBUTIONS["rtx"]
ORIN = Device(0, "Orin", "sm87")
ADA = Device(0, "NVIDIA GeForce RTX 4090", "sm89")

needs_rtx = pytest.mark.usefixtures("rtx")


@pytest.fixture
def rtx():
    return pytest.importorskip("tensorrt_rtx")


@pytest.fixture
def no_driver(monkeypatch):
    def missing():
        raise MissingDevice("no NVIDIA driver: libcuda.so.1 cannot be loaded", hint="attach a GPU")

    monkeypatch.setattr(tensorrt, "cuda", missing)


def make(graph, folder, text, progress=lambda *_: None, **settings):
    target = Target.parse(text)
    return backend_for(target).build(graph, target, folder, BuildSettings(options=settings), progress)


@needs_rtx
@pytest.mark.parametrize(
    "text", ["rtx-fp32", "rtx-fp32@sm75", "rtx-fp32@sm86,sm89", "rtx-fp32@l4,sm120,sm121"]
)
def test_builds_ahead_of_time(deploy, folder, text):
    built = make(deploy, folder, text, workspace_mb=64)
    assert (folder / built.entry).stat().st_size > 10_000
    assert built.inputs == (TensorInfo("frames", "uint8", (1, 32, 48, 3)),)
    assert built.outputs == (TensorInfo("class_map", "uint8", (1, 32, 48)),)
    assert built.hardware.family == (" ".join(compute_capabilities(Target.parse(text))) or "sm80+")
    assert built.settings == {"cuda_graph": True, "workspace_mb": 64}


@needs_rtx
def test_half_graph_makes_a_smaller_or_equal_engine_with_uint8_ends(deploy_half, folder):
    built = make(deploy_half, folder, "rtx-fp16@sm86")
    assert [t.dtype for t in (*built.inputs, *built.outputs)] == ["uint8", "uint8"]


@needs_rtx
@pytest.mark.parametrize("hardware", ["orin", "sm87", "h100", "sm90", "sm86,sm90", "rtx4090"])
def test_unsupported_compute_capability_lists_the_supported(deploy, folder, hardware):
    target = Target.parse(f"rtx-fp16@{hardware}")
    with pytest.raises(TargetError, match="sm75, sm80, sm86, sm89, sm120"):
        make(deploy, folder, str(target))
    with pytest.raises(TargetError, match="cannot build for"):
        backend_for(target).availability(target)
    assert not any(folder.iterdir())


@needs_rtx
@pytest.mark.parametrize(("operator", "domain"), [("Det", ""), ("Frob", "my.domain")])
def test_unsupported_operator_is_named_with_its_node(save, make_operator, folder, operator, domain):
    with pytest.raises(UnsupportedOperator, match=f"'{operator}' \\(node 'the-node'\\)"):
        make(save(make_operator(operator, "the-node", domain)), folder, "rtx-fp32")


@needs_rtx
def test_truncated_graph(deploy, folder):
    deploy.write_bytes(deploy.read_bytes()[:300])
    with pytest.raises(GraphError, match="truncated"):
        make(deploy, folder, "rtx-fp32")


@needs_rtx
def test_progress_grows_and_can_stop_the_build(deploy, folder):
    seen = []
    make(deploy, folder, "rtx-fp32", lambda message, done=0, total=0: seen.append((done, total)))
    assert len(seen) > 10
    assert all(0 <= done <= total == 1000 for done, total in seen)
    assert max(done for done, _ in seen) == 1000

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(deploy, folder, "rtx-fp32", stop)


def test_casts_to_uint8_start_from_float(rtx, deploy):
    logger = make_logger(rtx)
    network = rtx.Builder(logger).create_network(_network_flags(rtx))
    assert rtx.OnnxParser(network, logger).parse_from_file(str(deploy))
    cast_to_uint8_from_float(rtx, network)
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    last = next(layer for layer in layers if layer.name == "narrow")
    assert last.get_input(0).dtype == rtx.DataType.FLOAT
    assert network.get_output(0).dtype == rtx.DataType.UINT8


def test_network_flags_come_from_the_enum():
    def package(**members):
        return types.SimpleNamespace(NetworkDefinitionCreationFlag=types.SimpleNamespace(__members__=members))

    assert _network_flags(package(EXPLICIT_BATCH=0, STRONGLY_TYPED=1)) == 0b11
    assert _network_flags(package(STRONGLY_TYPED=0)) == 1
    assert _network_flags(package()) == 0


@needs_rtx
def test_rtx_without_driver_builds_and_cannot_run(deploy, folder, no_driver):
    target = Target.parse("rtx-fp32@sm86")
    can = backend_for(target).availability(target)
    assert can.build and not can.run and can.version and "driver" in can.reason
    built = make(deploy, folder, str(target))
    record = EngineRecord(target=str(target), graph="", camera_size=(1, 1))
    with pytest.raises(MissingDevice, match="driver"):
        backend_for(target).open(folder / built.entry, record, OpenSettings())


@pytest.mark.parametrize(("text", "extra"), [("trt-fp16@orin", "tensorrt"), ("rtx-fp16", "rtx")])
def test_missing_package_says_what_to_install(monkeypatch, no_driver, deploy, folder, text, extra):
    target = Target.parse(text)
    backend = backend_for(target)
    monkeypatch.setattr(importlib, "import_module", _not_found)
    can = backend.availability(target)
    assert not can.build and not can.run
    assert can.fix.startswith(f'pip install "edgeseg[{extra}]"')
    assert "not installed" in can.reason and "no NVIDIA driver" in can.reason
    with pytest.raises(MissingDependency):
        backend.build(deploy, target, folder, BuildSettings())


def _not_found(name, package=None):
    raise ModuleNotFoundError(f"No module named '{name}'", name=name)


def test_jetson_gets_jetpacks_package(monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda self: self == Path("/etc/nv_tegra_release"))
    monkeypatch.setattr(importlib, "import_module", _not_found)
    with pytest.raises(MissingDependency, match="sudo apt install python3-libnvinfer"):
        load_package(TRT)


def test_package_whose_libraries_do_not_load(monkeypatch):
    def broken(name):
        raise ImportError("libnvinfer.so.10: cannot open shared object file")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(MissingDevice, match=r"libnvinfer\.so\.10"):
        load_package(TRT)


def test_trt_without_driver_cannot_build(monkeypatch, deploy, folder, no_driver):
    monkeypatch.setattr(tensorrt, "load_package", lambda kind: types.SimpleNamespace(__version__="10.3.0"))
    target = Target.parse("trt-fp16")
    can = tensorrt.backend("trt").availability(target)
    assert (can.build, can.run, can.version) == (False, False, "10.3.0")
    assert "libcuda.so.1" in can.reason
    with pytest.raises(MissingDevice):
        tensorrt.backend("trt").build(deploy, target, folder, BuildSettings())


def test_trt_target_of_another_device():
    require_same_device(TRT, Target.parse("trt-fp16@orin"), ORIN)
    require_same_device(TRT, Target.parse("trt-fp16"), ADA)
    with pytest.raises(MissingDevice, match=r"sm87.*this one is NVIDIA GeForce RTX 4090 \(sm89\)"):
        require_same_device(TRT, Target.parse("trt-fp16@orin"), ADA)


def record(kind, version="10.3.0", device=ORIN, text="trt-fp16"):
    hardware = built_for(kind, Target.parse(text), device)
    return EngineRecord(target=text, graph="", engine_version=version, hardware=hardware, camera_size=(1, 1))


def test_plan_of_another_version_or_gpu_names_both():
    require_match(TRT, "10.3.0", record(TRT), ORIN)
    with pytest.raises(EngineMismatch, match=r"10\.3\.0; here is 10\.7\.0"):
        require_match(TRT, "10.7.0", record(TRT), ORIN)
    with pytest.raises(EngineMismatch, match=r"Orin \(sm87\); here is NVIDIA GeForce RTX 4090 \(sm89\)"):
        require_match(TRT, "10.3.0", record(TRT), ADA)
    with pytest.raises(EngineMismatch, match="NVIDIA L4"):
        require_match(TRT, "10.3.0", record(TRT, device=Device(0, "NVIDIA L4", "sm89")), ADA)


@pytest.mark.parametrize(
    ("family", "capability", "fits"),
    [
        ("sm80+", "sm89", True),
        ("sm80+", "sm121", True),
        ("sm80+", "sm75", False),
        ("sm86 sm89", "sm89", True),
        ("sm86 sm89", "sm120", False),
    ],
)
def test_rtx_engine_fits_its_capabilities(family, capability, fits):
    made_for = Hardware(kind="gpu", family=family)
    device = Device(0, "some GPU", capability)
    if fits:
        require_fit(RTX, made_for, device)
    else:
        with pytest.raises(EngineMismatch, match=f"made for {family.replace('+', '.')}"):
            require_fit(RTX, made_for, device)


def test_class_numbers_are_exact_in_float():
    numbers = np.arange(256)
    assert np.array_equal(numbers.astype(np.float16).astype(np.uint8), numbers)


def test_device_names_become_compute_capabilities():
    assert compute_capabilities(Target.parse("trt-fp16@orin,sm86")) == ("sm87", "sm86")
