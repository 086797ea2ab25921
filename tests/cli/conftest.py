from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

RECIPE = """
schema_version = 1
name = "small"
targets = ["{}"]
camera_size = [64, 64]
bench = false
[model]
name = "demo"
input_size = [64, 64]
[data]
limit = {}
"""


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def edgeseg(monkeypatch, capfd, tmp_path):
    """Run the command line in this process, in an empty folder: `edgeseg("export", "--model", ...)`."""
    from edgeseg.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["edgeseg", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capfd.readouterr()
        code = stop.value.code
        return Outcome(code if isinstance(code, int) else int(bool(code)), out, err)

    return run


@pytest.fixture
def small_recipe(tmp_path: Path) -> Callable[..., None]:
    """Write `small.toml`: the demo network at 64x64, scored on `limit` streets, not timed."""

    def write(*targets: str, limit: int) -> None:
        (tmp_path / "small.toml").write_text(RECIPE.format('", "'.join(targets), limit))

    return write
