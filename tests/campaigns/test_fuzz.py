"""A sample of `make fuzz`; the whole runs for half an hour.

In a process of its own: in a fork of one that has used OpenVINO or trained, both wait for threads that are
gone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz import LEAST_KINDS

import edgeseg

SAMPLE = 60
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the command line runs in forks")


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")

    def run(*words: str) -> str:
        script = Path(__file__).with_name("fuzz.py")
        done = subprocess.run(
            [sys.executable, script, "--seed", "1", "--folder", folder, *words],
            env={**os.environ, "PYTHONPATH": str(Path(edgeseg.__file__).parents[1])},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return done.stdout

    return run


def test_every_command_and_every_format_has_twenty_kinds_of_bad_input(fuzz):
    told = [line.split(maxsplit=1) for line in fuzz("--list").splitlines()]
    counts = {name: int(count) for count, name in told}
    assert {name: count for name, count in counts.items() if count < LEAST_KINDS} == {}
    assert sum(counts.values()) >= 2 * 1000, "each kind counts for its command and for its format"


def test_a_sample_of_bad_inputs_is_answered(fuzz):
    fuzz("--count", str(SAMPLE))
