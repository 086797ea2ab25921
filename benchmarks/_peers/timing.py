"""The timing phase: all contestants in one process, opened several times, in blocks that take turns."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from _peers import compress
from _peers.features import cpu_features
from _peers.material import THREADS, Material
from _peers.ours import BUNDLE
from _peers.peak import int8_peak
from _peers.roster import BF16, CONTESTANTS, DEFAULT, FLOAT, Contestant, is_ours
from _peers.tools import Opened
from edgeseg.core.versions import versions
from edgeseg.device.statistics import paired_ratio
from edgeseg.device.subject import Surroundings
from edgeseg.device.timing import SETTLE_RUNS

MIN_RUNS, MIN_SECONDS = 3, 0.03
"""Of a block."""
WARMUP = 3
OPENINGS = 4
DISTURBANCE_ROUNDS = 3
"""Of one opening."""
AGREEMENT_FRAMES = 8
PACKAGES = ("torch", "onnx", "onnxruntime", "onnxsim", "openvino", "nncf")
CLOCKS = ("network", "frame", "engine")
Openings = list[list[list[float]]]
"""Milliseconds, [opening][block][run]."""
Blocks = dict[str, Openings]
Sides = tuple[Openings, Openings]


def file(material: Material, isa: str) -> Path:
    return material.folder / f"timing-{isa}.json"


def run(material: Material, isa: str, rounds: int) -> None:
    """Time every contestant that was made, and write `timing-ISA.json`."""
    opened, failed = open_all(material, isa)
    contestants = [one for one in CONTESTANTS if one.name in opened]
    frame = material.frame()
    agreement = _agreement(material, opened)
    blocks: dict[str, Blocks] = {name: {clock: [] for clock in CLOCKS} for name in opened}
    disturbed: dict[str, Sides] = {}
    peak = int8_peak()
    with Surroundings() as around:
        for opening in range(OPENINGS):
            print(f"\r{isa}: opening {opening + 1} of {OPENINGS}", end="", flush=True)
            order = contestants[:: 1 if opening % 2 == 0 else -1]
            opened = {}
            gc.collect()
            opened = {one.name: one.open(material, material.folder / one.name) for one in order}
            _opening(opened, frame, blocks, -(-rounds // OPENINGS))
            _disturb(opened, disturbed)
    print()
    found = {
        "isa": isa,
        "rounds": rounds,
        "threads": THREADS,
        "features": cpu_features(),
        "versions": versions(*PACKAGES),
        "before": msgspec.to_builtins(around.before),
        "after": msgspec.to_builtins(around.after),
        "reasons": list(around.reasons),
        "failed": failed,
        "int8_peak": peak,
        "precision": {name: one.precision for name, one in opened.items()},
        "agreement": agreement,
        "disturbance": {name: _judged(name, opened, sides) for name, sides in disturbed.items()},
        "blocks": blocks,
    }
    file(material, isa).write_text(json.dumps(found))


def open_all(material: Material, isa: str) -> tuple[dict[str, Opened], dict[str, str]]:
    """Contestants that were made and give a class map, and what those say that do not."""
    opened: dict[str, Opened] = {}
    failed: dict[str, str] = {}
    frame = material.frame()
    for contestant in CONTESTANTS:
        if isa not in contestant.isas or not made(material, contestant):
            continue
        try:
            one = contestant.open(material, material.folder / contestant.name)
            one.frame(frame)
        except Exception as fault:  # a peer may fail in its own way: that is a result
            failed[contestant.name] = compress.told(fault)
            print(f"{contestant.name} does not run: {failed[contestant.name]}", flush=True)
        else:
            opened[contestant.name] = one
    return opened, failed


def made(material: Material, contestant: Contestant) -> bool:
    folder = material.folder / contestant.name
    if is_ours(contestant.name):
        return (folder / BUNDLE).exists()
    return contestant.make is None or "seconds" in compress.read(folder)


def _opening(opened: dict[str, Opened], frame: object, blocks: dict[str, Blocks], rounds: int) -> None:
    """All that were opened, in turn."""
    for name, one in opened.items():
        for _ in range(WARMUP):
            one.network()
            one.frame(frame)
        for clock in CLOCKS if one.engine_ms else CLOCKS[:2]:
            blocks[name][clock].append([])
    for index in range(rounds):
        for name in list(opened)[:: 1 if index % 2 == 0 else -1]:
            _round(opened[name], frame, blocks[name])


def _round(one: Opened, frame: object, blocks: Blocks) -> None:
    """One block of the plain network, one from frame to class map."""
    blocks["network"][-1].append(_block(one.network))
    inner: list[float] = []
    call = partial(one.frame, frame)
    blocks["frame"][-1].append(_block(call, one.engine_ms, inner))
    if one.engine_ms:
        blocks["engine"][-1].append(inner)


def _block(
    call: Callable[[], object], inside: Callable[[], float] | None = None, inner: list[float] | None = None
) -> list[float]:
    for _ in range(SETTLE_RUNS):
        call()
    samples: list[float] = []
    until = time.perf_counter() + MIN_SECONDS
    while len(samples) < MIN_RUNS or time.perf_counter() < until:
        start = time.perf_counter()
        call()
        samples.append(round((time.perf_counter() - start) * 1e3, 4))
        if inside and inner is not None:
            inner.append(round(inside(), 4))
    return samples


def _agreement(material: Material, opened: dict[str, Opened]) -> dict[str, float]:
    """Share of pixels of held-out images on which a contestant and the first one in float agree."""
    frames = [material.held_out.image(i) for i in range(AGREEMENT_FRAMES)]
    reference = next(opened[n] for n in (FLOAT, "ort-fp32", DEFAULT) if n in opened)
    expected = [reference.frame(f) for f in frames]
    return {
        name: sum(float((one.frame(f) == e).mean()) for f, e in zip(frames, expected)) / len(frames)
        for name, one in opened.items()
    }


def _disturb(opened: dict[str, Opened], found: dict[str, Sides]) -> None:
    """Does a thread pool that has just worked slow down who comes next in the same process?

    Adds the blocks of an OpenVINO engine right after a block of another contestant, and right after itself.
    """
    judged = _judge_of(opened)
    for other in (FLOAT, "torch-compile", "ort-fp32"):
        if not judged or other not in opened:
            continue
        sides = found.setdefault(other, ([], []))
        for side in sides:
            side.append([])
        for index in range(DISTURBANCE_ROUNDS):
            for side in (0, 1) if index % 2 == 0 else (1, 0):
                _block(opened[other if side == 0 else judged].network)
                sides[side][-1].append(_block(opened[judged].network))


def _judged(other: str, opened: dict[str, Opened], sides: Sides) -> dict:
    judged = _judge_of(opened)
    return msgspec.to_builtins(paired_ratio(*sides, a=f"{judged} after {other}", b=f"{judged} after itself"))


def _judge_of(opened: dict[str, Opened]) -> str:
    return next((name for name in (BF16, DEFAULT) if name in opened), "")
