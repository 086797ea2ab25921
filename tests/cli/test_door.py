"""Whatever a command raises: one error, exit 2, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edgeseg.core.faults import DEBUG


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (KeyError("nobody foresaw it"), "this is a fault of edgeseg: KeyError: 'nobody foresaw it'"),
        (MemoryError("of a terabyte"), "the memory is not enough for this: of a terabyte"),
        (RecursionError("too deep"), "nested too deeply"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_an_exception_becomes_an_error_of_exit_2(edgeseg, monkeypatch, fault, says):
    def fail(noun):
        raise fault

    monkeypatch.setattr("edgeseg.flow.listing.schema", fail)
    monkeypatch.delenv(DEBUG, raising=False)
    result = edgeseg("schema", "recipe")
    assert result.code == 2 and result.err.startswith("error: ") and says in result.err
    assert "Traceback" not in result.err
    monkeypatch.setenv(DEBUG, "1")
    assert "Traceback (most recent call last)" in edgeseg("schema", "recipe").err


def test_the_commands_of_the_device_have_the_same_door(monkeypatch, capsys, tmp_path):
    from edgeseg.device import commands as door

    def fail(*_: object, **__: object) -> None:
        raise KeyError("nobody foresaw it")

    monkeypatch.setattr("edgeseg.core.bundle.Bundle.open", fail)
    assert door.main(["check", str(tmp_path)]) == 2
    assert "this is a fault of edgeseg: KeyError" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["x" * 5_000, "\udcff"])
def test_an_argument_that_is_no_text_or_endless(edgeseg, word):
    result = edgeseg("inspect", word)
    assert result.code == 2 and "the argument '" in result.err and len(result.err) < 300


def run(*words: str, **options):
    return subprocess.run(
        [sys.executable, "-m", "edgeseg", *words], stderr=subprocess.PIPE, check=False, timeout=120, **options
    )


def test_closed_output_is_no_fault():
    def close() -> None:
        os.close(1)

    done = run("schema", "recipe", preexec_fn=close)
    assert (done.returncode, done.stderr) == (0, b"")
