"""A sample of `make kill`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgeseg


@pytest.mark.parametrize("command", ["overwrite", "train"])
def test_a_killed_command_leaves_nothing_and_goes_on(tmp_path, command):
    script = Path(__file__).with_name("kill.py")
    done = subprocess.run(
        [sys.executable, script, "--kills", "1", "--only", command, "--folder", tmp_path],
        env={**os.environ, "PYTHONPATH": str(Path(edgeseg.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{command}: 1 kills, 0 with faults" in done.stdout
