from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeseg.device.commands import main

HEAVY = ("torch", "torchvision", "PIL", "onnx", "onnxscript", "typer", "rich", "cv2", "scipy", "timm")
QUICK = ("--min-runs", "40", "--min-seconds", "0", "--warmup", "1")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_build_then_check(make_bundle, tmp_path, capsys):
    assert main(["build", str(make_bundle(kind="deferred")), "--output", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out")
    assert main(["check", str(tmp_path / "out")]) == 0
    assert "100.000% of 288 pixels agree" in capsys.readouterr().out


def test_build_names_its_output_itself(make_bundle, capsys):
    path = make_bundle(kind="deferred")
    assert main(["build", str(path)]) == 0
    assert Path(capsys.readouterr().out.strip()) == path.with_name("toy-built")


def test_build_of_the_current_folder_goes_beside_it(make_bundle, capsys, monkeypatch):
    path = make_bundle(kind="deferred")
    monkeypatch.chdir(path)
    assert main(["build", "."]) == 0
    assert Path(capsys.readouterr().out.strip()) == path.resolve().with_name("toy-built")


def test_check_refuses_a_broken_engine(make_bundle, capsys):
    assert main(["check", str(make_bundle(shift=1))]) == 2
    assert "self-check" in capsys.readouterr().err


def test_bench_prints_text(make_bundle, capsys):
    assert main(["bench", str(make_bundle()), *QUICK]) in (0, 3)
    text = capsys.readouterr().out
    assert "device  p50 0.500 ms" in text
    assert "first frame" in text


def test_bench_prints_json(make_bundle, capsys):
    main(["bench", str(make_bundle()), *QUICK, "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["bundle"] == "toy"
    assert len(result["host_samples_ms"]) == 40


def test_bench_against_another_bundle(make_bundle, capsys):
    paths = str(make_bundle("first")), "--vs", str(make_bundle("second"))
    assert main(["bench", *paths, *QUICK]) in (0, 3)
    assert "device: first takes 1.000 times as long as second" in capsys.readouterr().out
    main(["bench", *paths, *QUICK, "--json"])
    assert json.loads(capsys.readouterr().out)["device"]["ratio"] == 1.0


def test_bench_builds_a_deferred_bundle_first(make_bundle, capsys):
    assert main(["bench", str(make_bundle(kind="deferred")), *QUICK]) in (0, 3)
    assert "toy-fp32" in capsys.readouterr().out


def test_too_few_runs_exit_3(make_bundle, capsys):
    assert main(["bench", str(make_bundle()), "--min-runs", "5", "--min-seconds", "0"]) == 3
    assert "invalid: " in capsys.readouterr().err


def test_a_limit_on_p99_takes_a_thousand_runs(make_bundle, capsys):
    main(["bench", str(make_bundle()), *QUICK, "--max-p99-ms", "5", "--json"])
    assert json.loads(capsys.readouterr().out)["host"]["count"] == 1000
    assert main(["bench", str(make_bundle("other")), *QUICK, "--max-p99-ms", "nan"]) == 2
    assert "0 or more milliseconds" in capsys.readouterr().err


def test_what_is_printed_as_json_has_a_schema_version(make_bundle, capsys):
    path = str(make_bundle())
    main(["bench", path, *QUICK, "--json"])
    assert json.loads(capsys.readouterr().out)["schema_version"] == 1
    main(["bench", path, "--vs", path, *QUICK, "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["schema_version"] == result["a"]["schema_version"] == 1


def test_bad_input_exits_2_with_a_hint(tmp_path, capsys):
    assert main(["bench", str(tmp_path / "nothing")]) == 2
    assert "is not a bundle" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["bench"], ["bench", "x", "--cpus", "many"]])
def test_wrong_arguments_exit_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_the_device_zone_alone_is_enough(make_bundle, tmp_path):
    """As on a Jetson: a fresh interpreter in which the packages of the other zones cannot be imported."""
    script = (
        "import sys, runpy, edgeseg.backends\n"
        f"sys.modules.update(dict.fromkeys({HEAVY!r}))\n"
        f"edgeseg.backends.__path__.append({str(Path(__file__).parents[1] / 'runtime' / 'plugins')!r})\n"
        "runpy.run_module('edgeseg.device', run_name='__main__', alter_sys=True)\n"
    )
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    output = str(tmp_path / "out")
    for arguments in (
        ("build", str(make_bundle(kind="deferred")), "--output", output),
        ("check", output),
        ("bench", output, *QUICK),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode in (0, 3), done.stderr
        assert done.stdout
    missing = [sys.executable, "-c", script, "check", str(tmp_path)]
    assert subprocess.run(missing, capture_output=True, env=environment, check=False).returncode == 2


def test_an_error_is_printed_as_json_too(tmp_path, capsys):
    assert main(["bench", str(tmp_path), "--json"]) == 2
    printed = capsys.readouterr()
    error = json.loads(printed.out)["error"]
    assert (
        error["exit_code"] == 2 and "is not a bundle" in error["message"] and error["message"] in printed.err
    )
