"""The load generator. It knows calls and clocks: no model, no format, no score (after MLPerf LoadGen)."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import msgspec

from edgeseg.core.ports import Progress, silent

Call = Callable[[], object]
Blocks = list[list[float]]

SETTLE_RUNS = 2
"""Runs at the start of a block that are not recorded: they bring back the caches and end the
spinning of the other side's threads."""


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """At least `runs` runs *and* at least `seconds` seconds."""

    runs: int
    seconds: float


def collect(call: Call, effort: Effort, *, warmup: int, progress: Progress = silent) -> list[float]:
    """Milliseconds of each call, one after the other, after `warmup` calls that are not recorded."""
    for _ in range(warmup):
        call()
    return _block(call, effort, progress)


def alternate(
    call_a: Call, call_b: Call, effort: Effort, *, blocks: int, warmup: int, progress: Progress = silent
) -> tuple[Blocks, Blocks]:
    """A and B in turn: AB, BA, AB, ... with `effort` spent on each side over all blocks together.

    The order swaps from pair to pair, so that a steady drift favours neither side.
    """
    for call in (call_a, call_b):
        for _ in range(warmup):
            call()
    share = Effort(runs=-(-effort.runs // blocks), seconds=effort.seconds / blocks)
    samples: tuple[Blocks, Blocks] = ([], [])
    for index in range(blocks):
        progress("timing A and B in turn", index, blocks)
        order = ((0, call_a), (1, call_b))
        for side, call in order if index % 2 == 0 else order[::-1]:
            for _ in range(SETTLE_RUNS):
                call()
            samples[side].append(_block(call, share, silent))
    progress("timing A and B in turn", blocks, blocks)
    return samples


def throughput(call: Call, *, threads: int, seconds: float) -> float:
    """Calls per second of `threads` threads that call without pause.

    Counted from the moment all threads are ready to the end of the last call.
    """
    ready = Barrier(threads + 1)

    def work(_: int) -> int:
        call()
        ready.wait()
        deadline = time.perf_counter() + seconds
        count = 0
        while time.perf_counter() < deadline:
            call()
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        counts = pool.map(work, range(threads))
        ready.wait()
        start = time.perf_counter()
        done = sum(counts)
        return done / (time.perf_counter() - start)


def flat(blocks: Blocks) -> list[float]:
    """All samples, in the order of the blocks."""
    return [sample for block in blocks for sample in block]


def _block(call: Call, effort: Effort, progress: Progress) -> list[float]:
    samples: list[float] = []
    clock = time.perf_counter_ns
    start = told = clock()
    until = start + int(effort.seconds * 1e9)
    now = start
    while len(samples) < effort.runs or now < until:
        begin = clock()
        call()
        now = clock()
        samples.append((now - begin) / 1e6)
        if now - told > 200_000_000:
            told = now
            progress("timing", _percent(len(samples), effort, (now - start) / 1e9), 100)
    progress("timing", 100, 100)
    return samples


def _percent(runs: int, effort: Effort, seconds: float) -> int:
    parts = (runs / effort.runs if effort.runs else 1.0, seconds / effort.seconds if effort.seconds else 1.0)
    return int(100 * min(1.0, *parts))
