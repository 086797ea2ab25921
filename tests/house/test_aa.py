from __future__ import annotations

import importlib
import json

import msgspec
import pytest

from edgeseg.core.measurement import PairedRatio

pytest.importorskip("onnx")


@pytest.fixture
def aa(clone, monkeypatch):
    monkeypatch.syspath_prepend(str(clone / "benchmarks"))
    return importlib.import_module("aa")


def interval(low, high):
    return PairedRatio(
        a="demo", b="copy", clock="device", openings=6, blocks=24, ratio=(low + high) / 2, low=low, high=high
    )


@pytest.fixture
def start(aa, monkeypatch, tmp_path):
    """The command, where each call says at once what the test says, one interval after the other."""

    def run(intervals, *options):
        told = iter(intervals)
        monkeypatch.setattr(aa, "bundles", lambda target: ())
        monkeypatch.setattr(
            aa, "compared", lambda what, target: aa.Call(what, (interval(*next(told)),), 1.0, None)
        )
        output = tmp_path / "aa.json"
        monkeypatch.setattr("sys.argv", ["aa.py", "--only", "race", "--output", str(output), *options])
        return aa.main(), json.loads(output.read_text())["calls"]

    return run


def test_coverage_and_half_width_are_counted(start, capsys):
    code, calls = start([(0.98, 1.02)] * 9 + [(1.01, 1.05)], "--calls", "10")
    assert code == 0 and len(calls) == 10
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.split() == ["race", "device", "10", "90.0%", "2.00%", "10%", "1.0"]


@pytest.mark.parametrize("bad", [[(1.01, 1.05)] * 2 + [(0.98, 1.02)] * 8, [(0.9, 1.1)] * 10])
def test_too_narrow_and_too_wide_fail(start, bad):
    assert start(bad, "--calls", "10")[0] == 1


def test_it_goes_on_where_it_stopped(start, capsys):
    start([(0.98, 1.02)] * 2, "--calls", "2")
    _, calls = start([(0.99, 1.01)] * 3, "--calls", "5")
    assert len(calls) == 5
    start([], "--calls", "9", "--minutes", "-1")
    assert "go on with the same command: race" in capsys.readouterr().out


def test_calls_of_another_target_are_not_mixed_in(start, tmp_path, aa):
    (tmp_path / "aa.json").write_bytes(msgspec.json.encode(aa.Campaign(cpu="a Cray", target="ort-fp32")))
    with pytest.raises(SystemExit, match="ort-fp32 on a Cray"):
        start([(0.98, 1.02)])
