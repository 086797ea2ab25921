"""A host without engines: everything it does with a far device is what it does with its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from far import opened_by

import edgeseg

WORK = Path(__file__).with_name("work.py")


def test_results_of_a_far_device_are_those_of_this_machine(tmp_path):
    """Export, verify, build, bench, int8 with and without a plan, the stopwatch, a recipe that prunes."""
    pytest.importorskip("openvino")
    places = {"here": [], "there": ["far"]}
    running = {}
    for name, arguments in places.items():
        folder = tmp_path / name
        folder.mkdir()
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        command = [sys.executable, str(WORK), str(folder), *arguments]
        running[name] = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    said = {name: process.communicate(timeout=500)[1] for name, process in running.items()}
    assert {name: process.returncode for name, process in running.items()} == dict.fromkeys(places, 0), said
    here, there = (json.loads((tmp_path / name / "found.json").read_text()) for name in places)
    assert here == there
    assert here["planned"] == ["engine", "measured", True]
    assert here["exported"][0]["build"]["opened"] and all(here["measured"])
    opened = opened_by(tmp_path / "there" / "device")
    of_the_host = (Path(edgeseg.__file__).parent, tmp_path / "there")
    own = tmp_path / "there" / "device"
    strange = [p for p in opened if any(map(p.is_relative_to, of_the_host)) and not p.is_relative_to(own)]
    assert not strange, "a device reads what it was sent"
