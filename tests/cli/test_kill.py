"""kill -9 in the middle: nothing half-written is taken for a result, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "edgeseg", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_when(process: subprocess.Popen, folder: Path, pattern: str) -> None:
    """SIGKILL the process as soon as a path matches."""
    deadline = time.monotonic() + 120
    while not any(folder.rglob(pattern)):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def finish(folder: Path, *arguments: str) -> str:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


@pytest.mark.parametrize("moment", [".demo-ort-fp32.partial-*", "golden.npz"])
def test_export(tmp_path, moment):
    arguments = ("export", "--model", "demo", "--input-size", "64x64", "--target", "ort-fp32", "-o", "out")
    kill_when(start(tmp_path, *arguments), tmp_path, moment)
    assert not (tmp_path / "out" / "demo-ort-fp32").exists()
    finish(tmp_path, *arguments)
    assert "pass" in finish(
        tmp_path, "verify", "out/demo-ort-fp32", "--data", "synthetic-streets", "--limit", "2"
    )
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["demo-ort-fp32"]


def test_run_resumes(tmp_path, small_recipe):
    small_recipe("ort-fp32", "openvino-fp32", limit=4)
    kill_when(start(tmp_path, "run", "small.toml"), tmp_path / "runs", "demo-ort-fp32")
    first = tmp_path / "runs" / "small" / "bundles" / "demo-ort-fp32" / "manifest.json"
    before = first.stat().st_mtime_ns
    out = finish(tmp_path, "run", "small.toml")
    assert "pass" in out
    assert first.stat().st_mtime_ns == before
    assert not list(tmp_path.rglob("*.partial-*"))
