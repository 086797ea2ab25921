"""`python -m` imports nothing that lies in the current folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgeseg

PLANTED = ("__future__", "numpy", "msgspec", "typer", "json", "argparse", "sitecustom", "secrets", "tempfile")


@pytest.mark.parametrize("module", ["edgeseg", "edgeseg.device"])
def test_modules_of_the_current_folder_are_not_imported(tmp_path, module):
    for name in PLANTED:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted code ran')\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(edgeseg.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Exit codes" in done.stdout or "usage: python -m edgeseg.device" in done.stdout
