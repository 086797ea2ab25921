"""Graphs with large scores are checked and their golden frames made with a few score maps in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LIMITS = {"golden_frames": 3.3, "check": 2.8, "output": 2, "output_of_torch": 2.7}
"""Score maps by what `memory_of.py` runs; with references held whole 24, 11, 5 and 5."""


@pytest.fixture(scope="module")
def maps() -> dict[str, float]:
    """Of a process of its own, in which malloc gives every freed array of a megabyte back to the system.

    Left to itself, glibc keeps freed blocks of up to 32 MB: what a process then grows by (7 to 10 maps for
    the golden frames) depends on what ran in it before.
    """
    script = Path(__file__).with_name("memory_of.py")
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run(
        [sys.executable, script, *LIMITS], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("work", LIMITS)
def test_a_few_score_maps_are_held_at_a_time(maps, work):
    assert 0.9 < maps[work] < LIMITS[work]  # the scores themselves are seen, rounded to pages
