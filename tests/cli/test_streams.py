"""Standard output, standard error, interruption: what a script around the command line relies on."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from edgeseg.errors import EdgesegWarning

NETWORK = """
import torch
print("imported")
class Net(torch.nn.Conv2d):
    def forward(self, image):
        print("running")
        return super().forward(image)
def net():
    return Net(3, 2, 1)
"""
SMALL = ("--input-size", "64x64", "--target", "ort-fp32")


def test_a_network_that_prints_does_not_spoil_the_json(edgeseg, tmp_path):
    (tmp_path / "net.py").write_text(NETWORK)
    result = edgeseg("export", "--model", "net.py:net", *SMALL, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)
    assert "imported" in result.err and "running" in result.err


def test_a_cache_that_cannot_be_written(edgeseg, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    result = edgeseg("export", "--model", "demo", *SMALL)
    assert result.code == 0, result.err
    assert "XDG_CACHE_HOME" in result.err
    assert (tmp_path / "bundles" / "demo-ort-fp32" / "manifest.json").exists()


def test_bench_takes_the_options_its_hints_name(edgeseg, tmp_path):
    assert edgeseg("export", "--model", "demo", *SMALL).code == 0
    quick = ("--min-runs", "2", "--min-seconds", "0", "--warmup", "0", "--blocks", "1", "--cpus", "0")
    result = edgeseg("bench", "bundles/demo-ort-fp32", *quick, "--json", "-o", "results/new/x.json")
    assert result.code in (0, 3), result.err
    assert json.loads(result.out)["measurements"][0]["cpus"] == [0]
    assert json.loads((tmp_path / "results" / "new" / "x.json").read_text()) == json.loads(result.out)


def test_a_warning_of_edgeseg_is_one_line_without_a_place_in_its_source(edgeseg, monkeypatch):
    monkeypatch.setattr("warnings.formatwarning", warnings.formatwarning)
    edgeseg("--version")
    assert warnings.formatwarning("half is used", EdgesegWarning, "x.py", 7) == "warning: half is used\n"
    assert warnings.formatwarning("old", UserWarning, "x.py", 7).startswith("x.py:7: UserWarning: old")


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_interrupted(edgeseg, monkeypatch):
    monkeypatch.setattr("edgeseg.flow.listing.models", interrupt)
    result = edgeseg("models")
    assert (result.code, result.out) == (130, "")
    assert "interrupted" in result.err and "Traceback" not in result.err


def test_the_device_interrupted(monkeypatch, capsys):
    from edgeseg.device import commands as device

    monkeypatch.setattr(device.Bundle, "open", interrupt)
    assert device.main(["check", "x"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_standard_output_on_a_full_device():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edgeseg", "schema", "recipe"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert "No space left" in done.stderr and len(done.stderr.splitlines()) == 1
