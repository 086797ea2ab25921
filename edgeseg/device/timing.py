"""The load generator. It knows calls and clocks: no model, no format, no score (after MLPerf LoadGen)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from threading import Barrier
from typing import NamedTuple, TypeVar

import msgspec

from edgeseg.core.ports import Progress, silent

Call = Callable[[], object]
Opened = TypeVar("Opened")
Block = TypeVar("Block")

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


class Rounds(NamedTuple):
    """How often a race opens all anew, and how many turns each takes in one opening."""

    openings: int
    turns: int


PRUNING = Rounds(4, 2)
"""Most of what differs is the luck of an opening: more turns in each would not make up for it."""
PLANNING, PLANNING_BRIEFLY = Rounds(3, 4), Rounds(3, 2)
"""What `docs/honest-numbers.md` tells of equal engines was measured with these, and with the defaults of
`BenchSettings`."""


def alternate(
    open_each: Sequence[Callable[[], AbstractContextManager[Opened]]],
    block: Callable[[Opened], Block],
    rounds: Rounds,
    progress: Progress = silent,
) -> list[list[list[Block]]]:
    """The one race: open all, let each do a block in turn, `rounds.turns` times, close all; do this
    `rounds.openings` times. `statistics.paired_ratio` gives the interval over the openings.

    Every second turn goes backwards, so that a steady drift favours nobody: AB, BA, AB, ... So does every
    second opening, with the turns in it: it matters who is opened first (memory, threads).

    Returns:
        What the blocks gave: [one of `open_each`][opening][turn].
    """
    found: list[list[list[Block]]] = [[] for _ in open_each]
    for opening in range(rounds.openings):
        progress("timing in turn", opening, rounds.openings)
        order = range(len(open_each))[:: _way(opening)]
        with ExitStack() as stack:
            opened = {index: stack.enter_context(open_each[index]()) for index in order}
            for one in found:
                one.append([])
            for turn in range(rounds.turns):
                for index in order[:: _way(turn)]:
                    found[index][-1].append(block(opened[index]))
    progress("timing in turn", rounds.openings, rounds.openings)
    return found


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


def _way(number: int) -> int:
    return 1 if number % 2 == 0 else -1


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
