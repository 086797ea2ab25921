from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest


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
