from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest

from edgeseg.backends._cuda import cuda
from edgeseg.core.ports import Availability
from edgeseg.errors import MissingDevice


def test_make_gpu_exits_4_without_a_gpu_and_names_what_is_missing(clone, run):
    try:
        cuda()
    except MissingDevice:
        result = run("python", clone / "benchmarks" / "gpu.py")
        assert result.returncode == 4
        assert "NVIDIA driver" in result.stderr and "to fix:" in result.stderr
        assert result.stdout == ""
    else:
        pytest.skip("a GPU is here")


def test_every_benchmark_is_described(clone):
    text = (clone / "benchmarks" / "README.md").read_text()
    for file in (clone / "benchmarks").glob("[!_]*.py"):
        assert file.name in text


@pytest.fixture
def gpu(clone, monkeypatch):
    monkeypatch.syspath_prepend(str(clone / "benchmarks"))
    return importlib.import_module("gpu")


@pytest.mark.parametrize(
    ("agreement", "growth", "code", "says"),
    [
        (0.999, 400.0, 0, "passed: an engine of trt-fp16 executed on the GPU"),
        (0.999, None, 0, "passed"),
        (0.999, 0.0, 1, "did not execute there"),
        (0.9, 400.0, 1, "expected an agreement of at least 99.50%"),
    ],
)
def test_make_gpu_fails_unless_an_engine_executed_on_the_gpu_and_agrees(
    gpu, capsys, agreement, growth, code, says
):
    time = SimpleNamespace(p50=1.0)
    report = SimpleNamespace(
        gpu="NVIDIA L4",
        compute_capability="sm89",
        target="trt-fp16",
        engine_version="10.13",
        agreement=agreement,
        gpu_memory_growth_mb=growth,
        measurement=SimpleNamespace(device=time, host=time),
    )
    assert gpu.judge(report) == code
    assert says in capsys.readouterr().out


def test_make_gpu_prefers_tensorrt_then_tensorrt_rtx_then_onnx_runtime(gpu, monkeypatch):
    able = {"rtx-fp16", "ort-fp32@cuda"}

    def backend_for(target):
        can = Availability(build=True, run=str(target) in able, reason="not here")
        return SimpleNamespace(availability=lambda _: can)

    monkeypatch.setattr(gpu, "backend_for", backend_for)
    assert gpu.choose() == ("rtx-fp16", {"trt-fp16": "not here"})
    able.clear()
    with pytest.raises(MissingDevice):
        gpu.choose()
