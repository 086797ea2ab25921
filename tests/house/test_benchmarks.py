from __future__ import annotations

import importlib
import os
import shutil
from argparse import Namespace

import msgspec
import pytest

from edgeseg.backends._cuda import cuda
from edgeseg.core.measurement import PairedRatio
from edgeseg.core.verdict import Verdict
from edgeseg.errors import MissingDevice


def test_every_benchmark_is_described(clone):
    text = (clone / "benchmarks" / "README.md").read_text()
    for file in (clone / "benchmarks").glob("[!_]*.py"):
        assert file.name in text


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


def test_make_gpu_names_the_packages_that_its_python_lacks(clone, run):
    """`-S` and `-E`: a Python without any package."""
    result = run("python", "-S", "-E", clone / "benchmarks" / "gpu.py")
    assert result.returncode == 4
    assert "lacks numpy, msgspec, PIL, onnx, onnxruntime" in result.stderr
    assert "make gpu PYTHON=" in result.stderr


@pytest.fixture
def parts(clone, monkeypatch):
    """`parts("record")`: a module of `benchmarks/_gpu/`."""
    monkeypatch.syspath_prepend(str(clone / "benchmarks"))
    return lambda name: importlib.import_module(f"_gpu.{name}")


def test_make_gpu_proves_and_times_what_can_run_with_bundles_made_elsewhere(clone, run, parts, tmp_path):
    """On the CPU: the road is the same. Without a compiler PyTorch's own failure is a row."""
    gpu = clone / "benchmarks" / "gpu.py"
    made = run("python", gpu, "--prepare", "--bundles", tmp_path / "made", "--target", "ort-fp32")
    assert made.returncode == 0, made.stderr
    assert made.stdout.endswith("demo-ort-fp32 engine\n")
    targets = ("--target", "ort-fp32", "--target", "trt-fp16")
    options = ("--bundles", tmp_path / "made", "--frames", 2, "--runs", 12, "--output", tmp_path / "gpu.json")
    env = {
        **os.environ,
        "CXX": str(tmp_path / "no-compiler"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor"),
    }
    result = run("python", gpu, *targets, *options, env=env)
    assert result.returncode == 0, result.stdout + result.stderr
    report = msgspec.json.decode((tmp_path / "gpu.json").read_bytes(), type=parts("record").Report)
    proof, missing = report.proofs
    assert (proof.target, proof.status, proof.built) == ("ort-fp32", "passed", "ort-fp32")
    assert proof.agreement > 0.999 and proof.score > 0.4 and proof.measurement.host.count == 12
    assert (missing.target, missing.status) == ("trt-fp16", "missing") and "tensorrt" in missing.reason
    eager, compiled = report.rivals
    assert eager.status == "passed" and eager.agreement > 0.999
    assert compiled.status == "failed" and "compiler" in compiled.reason.lower()
    (pair,) = report.pairs
    assert (pair.a, pair.b, pair.status) == ("torch eager fp32", "ort-fp32", "passed")
    assert pair.ratio.low <= pair.ratio.ratio <= pair.ratio.high
    assert "x torch eager fp32" in result.stdout and "trt-fp16: missing: " in result.stdout


@pytest.mark.parametrize("minutes", [0, 0.01])
def test_make_gpu_names_what_found_no_time(clone, run, tmp_path, minutes):
    options = ("--target", "ort-fp32", "--bundles", tmp_path, "--output", tmp_path / "gpu.json")
    result = run("python", clone / "benchmarks" / "gpu.py", *options, "--minutes", minutes)
    assert result.returncode == 3
    assert f"ort-fp32: no time: the {minutes:g} minutes were over" in result.stdout


def test_make_gpu_survives_a_process_that_dies(parts, monkeypatch, tmp_path):
    stages = parts("stages")
    monkeypatch.setattr(stages.sys, "executable", shutil.which("false"))
    given = Namespace(bundles=tmp_path, frames=1, camera_size=(8, 8), runs=1, minutes=1)
    (proof,) = stages.Stages(given, tmp_path).proofs(("trt-fp16",), stages.time.time() + 60)
    assert (proof.status, proof.reason) == ("failed", "its process ended with 1: not a word")


@pytest.mark.parametrize(
    ("status", "growth", "says"),
    [("pass", None, ""), ("pass", 400.0, ""), ("fail", 400.0, "too much"), ("pass", 0.0, "did not execute")],
)
def test_make_gpu_fails_a_target_that_loses_accuracy_or_does_not_run_on_the_gpu(parts, status, growth, says):
    found = " ".join(parts("prove").faults(Verdict(status=status, reasons=("too much",)), growth))
    assert says in found and bool(found) == bool(says)


@pytest.mark.parametrize(
    ("proof", "rival", "pair", "code"),
    [
        ("passed", "passed", "passed", 0),
        ("passed", "failed", "passed", 0),
        ("passed", "missing", "passed", 0),
        ("missing", "missing", "passed", 4),
        ("failed", "passed", "passed", 1),
        ("passed", "passed", "failed", 1),
        ("passed", "no time", "passed", 3),
        ("no time", "passed", "passed", 3),
    ],
)
def test_make_gpu_fails_by_its_own_faults_only(parts, proof, rival, pair, code):
    report = Namespace(
        proofs=(Namespace(status=proof),), rivals=(Namespace(status=rival),), pairs=(Namespace(status=pair),)
    )
    assert parts("measure").exit_code(report) == code


def test_int8_is_timed_beside_half_precision_of_the_same_engine(parts):
    pairs = parts("plan").int8_pairs(("trt-fp32", "trt-fp16", "trt-int8", "openvino-fp32", "openvino-int8"))
    assert pairs == (("trt-fp16", "trt-int8"), ("openvino-fp32", "openvino-int8"))
    assert parts("plan").int8_pairs(("ort-fp16@cuda", "rtx-int8")) == ()


def test_the_table_shows_ratios_with_their_intervals(parts):
    record = parts("record")
    ratio = PairedRatio(a="a", b="b", clock="host", openings=6, blocks=12, ratio=2.0, low=1.9, high=2.1)
    pair = record.Pair(a="trt-fp16", b="trt-int8", status="passed", ratio=ratio)
    gate = "int8 against float: 1.10 of the time of trt-fp16 on this device; trt-fp16 ships"
    proofs = (
        record.Proof(target="trt-fp16", status="passed", built="trt-fp16"),
        record.Proof(target="trt-int8", status="passed", built="trt-fp16", gate=(gate,)),
    )
    report = record.Report(
        gpu="NVIDIA L4 (sm89)",
        cpu="",
        versions={"torch": "2.11"},
        camera_size=(240, 320),
        frames=60,
        seconds=100.0,
        allowed_seconds=450.0,
        proofs=proofs,
        rivals=(),
        pairs=(pair,),
    )
    text = parts("table").table(report)
    assert text.startswith("NVIDIA L4 (sm89) (torch 2.11); frames of 240x320, 60 scored; 100 s of 450")
    assert "trt-fp16 over trt-int8: 2.00 [1.90, 2.10] (above 1: int8 is faster)" in text
    assert "passed, as trt-fp16" in text and gate in text
