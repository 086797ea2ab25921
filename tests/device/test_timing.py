from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager
from types import SimpleNamespace

import pytest

from edgeseg.device.timing import Effort, Rounds, alternate, collect, throughput


def counter(log, name):
    return lambda: log.append(name)


def test_at_least_so_many_runs():
    log = []
    assert len(collect(counter(log, "a"), Effort(runs=50, seconds=0), warmup=7)) == 50
    assert len(log) == 57


def test_and_at_least_so_many_seconds():
    start = time.perf_counter()
    samples = collect(lambda: time.sleep(0.001), Effort(runs=1, seconds=0.1), warmup=0)
    assert time.perf_counter() - start >= 0.1
    assert len(samples) > 1
    assert min(samples) >= 1.0


def test_progress_ends_at_the_total():
    told = []
    collect(
        lambda: None,
        Effort(runs=3, seconds=0),
        warmup=0,
        progress=lambda m, done=0, total=0: told.append((done, total)),
    )
    assert told[-1] == (100, 100)


def opener(log, name):
    @contextmanager
    def opened():
        log.append(f"+{name}")
        yield name
        log.append(f"-{name}")

    return opened


def test_each_opening_opens_both_anew_and_swaps_who_is_first():
    log = []
    found = alternate([opener(log, "a"), opener(log, "b")], log.append, Rounds(3, 2))
    assert " ".join(log) == "+a +b a b b a -b -a +b +a b a a b -a -b +a +b a b b a -b -a"
    assert [[len(turns) for turns in one] for one in found] == [[2, 2, 2], [2, 2, 2]]


def test_blocks_come_back_by_side_opening_and_turn():
    count = iter(range(100))
    found = alternate([opener([], "a"), opener([], "b")], lambda name: (name, next(count)), Rounds(2, 2))
    assert found == [
        [[("a", 0), ("a", 3)], [("a", 5), ("a", 6)]],
        [[("b", 1), ("b", 2)], [("b", 4), ("b", 7)]],
    ]


def test_what_was_opened_is_closed_when_a_block_fails():
    log = []
    closed = [closing(SimpleNamespace(close=lambda name=name: log.append(name))) for name in "ab"]
    with pytest.raises(ZeroDivisionError):
        alternate([lambda one=one: one for one in closed], lambda _: 1 / 0, Rounds(2, 1))
    assert log == ["b", "a"]


def test_throughput_counts_the_calls_of_all_threads():
    names = set()

    def call():
        names.add(threading.get_ident())
        time.sleep(0.01)

    rate = throughput(call, threads=3, seconds=0.3)
    assert len(names) == 3
    assert 3 / 0.05 < rate <= 3 / 0.01
