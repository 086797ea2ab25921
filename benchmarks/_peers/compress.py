"""The compression phase: each contestant in a process of its own, so that time and memory are its own."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import time
import traceback
from pathlib import Path

from _peers import ours
from _peers.material import Material
from _peers.roster import CONTESTANTS, Contestant
from edgeseg.device.environment import MemoryWatch, others_share, read_cpu_time
from edgeseg.device.validity import others_reasons

RECORD, CACHE = "compression.json", "cache"
PREPARE, ALL = "prepare", "all"


def compress(material: Material, command: list[str], redo: set[str]) -> None:
    """Make what is not there yet.

    Args:
        command: runs this script for this network; `--child NAME` is appended.
        redo: names to make again; `prepare` is the float graph itself, `all` everything.
    """
    if redo & {PREPARE, ALL} or not material.graph.exists():
        subprocess.run([*command, "--child", PREPARE], check=True)
    for contestant in CONTESTANTS:
        folder = material.folder / contestant.name
        if contestant.name in material.bundles:
            ours.give(folder, material.bundles[contestant.name])
            continue
        if contestant.when and not contestant.when(material):
            continue
        if contestant.make is None or ((folder / RECORD).exists() and not redo & {contestant.name, ALL}):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        print(f"{contestant.name}: compressing", flush=True)
        done = subprocess.run([*command, "--child", contestant.name], check=False)
        if not (folder / RECORD).exists():
            _write(folder, {"error": f"the process ended with {done.returncode}"})
        print(f"{contestant.name}: {(folder / RECORD).read_text()}", flush=True)


def run_child(material: Material, name: str) -> None:
    """What `--child NAME` does: import, then measure."""
    if name == PREPARE:
        ours.prepare(material)
        return
    contestant = next(c for c in CONTESTANTS if c.name == name)
    folder = material.folder / name
    folder.mkdir(parents=True)
    os.environ["XDG_CACHE_HOME"] = str(folder.resolve() / CACHE)
    record = _measured(contestant, material, folder)
    shutil.rmtree(folder / CACHE, ignore_errors=True)
    _write(folder, record)


def read(folder: Path) -> dict:
    """The record of a contestant; empty where it has nothing to make or was not made."""
    file = folder / RECORD
    return json.loads(file.read_text()) if file.exists() else {}


def _measured(contestant: Contestant, material: Material, folder: Path) -> dict:
    assert contestant.make is not None
    for module in contestant.imports:
        importlib.import_module(module)
    assert material.calibration.ids
    if contestant.before:
        contestant.before(material, folder)
    memory, cpu, start = MemoryWatch(), read_cpu_time(), time.perf_counter()
    try:
        contestant.make(material, folder)
    except Exception as fault:  # a peer may fail in its own way: that is a result
        traceback.print_exc()
        return {"error": told(fault)}
    seconds, peak = time.perf_counter() - start, memory.growth_mb() or 0.0
    reasons = list(others_reasons(others_share(cpu, read_cpu_time())))
    if contestant.finish:
        contestant.finish(material, folder)
    return {
        "seconds": round(seconds, 2),
        "peak_mb": round(peak, 1),
        "valid": not reasons,
        "reasons": reasons,
    }


def told(fault: Exception) -> str:
    """Kind and first line of an exception."""
    return f"{type(fault).__name__}: {(str(fault).strip() or '-').splitlines()[0][:300]}"


def _write(folder: Path, record: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_text(json.dumps(record))
