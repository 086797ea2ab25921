from __future__ import annotations

import threading
import time

from edgeseg.device.timing import SETTLE_RUNS, Effort, alternate, collect, throughput


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


def test_blocks_alternate_and_swap_their_order():
    log = []
    a, b = alternate(counter(log, "a"), counter(log, "b"), Effort(runs=8, seconds=0), blocks=4, warmup=1)
    assert [len(block) for block in a] == [len(block) for block in b] == [2, 2, 2, 2]
    runs = 2 + SETTLE_RUNS
    order = [log[2 + i * runs] for i in range(8)]
    assert "".join(order) == "abbaabba"
    assert log.count("a") == log.count("b") == 1 + 4 * runs


def test_runs_are_rounded_up_over_the_blocks():
    a, _ = alternate(lambda: None, lambda: None, Effort(runs=10, seconds=0), blocks=4, warmup=0)
    assert sum(map(len, a)) >= 10


def test_throughput_counts_the_calls_of_all_threads():
    names = set()

    def call():
        names.add(threading.get_ident())
        time.sleep(0.01)

    rate = throughput(call, threads=3, seconds=0.3)
    assert len(names) == 3
    assert 3 / 0.05 < rate <= 3 / 0.01
