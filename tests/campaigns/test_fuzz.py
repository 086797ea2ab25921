"""A sample of `make fuzz`; the whole runs for half an hour."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz import LEAST_KINDS, Campaign, counts

import edgeseg

SAMPLE = 60


@pytest.fixture(scope="module")
def campaign(tmp_path_factory) -> Campaign:
    return Campaign(tmp_path_factory.mktemp("fuzz"), seed=1)


def test_every_command_and_every_format_has_twenty_kinds_of_bad_input(campaign):
    few = {name: count for name, count in counts(campaign.kinds) if count < LEAST_KINDS}
    assert few == {} and len(campaign.kinds) >= 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the command line runs in forks")
def test_a_sample_of_bad_inputs_is_answered(tmp_path):
    """In a process of its own: torch trains in no fork of one that has trained."""
    script = Path(__file__).with_name("fuzz.py")
    command = [sys.executable, script, "--seed", "1", "--count", str(SAMPLE), "--folder", tmp_path]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(Path(edgeseg.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
