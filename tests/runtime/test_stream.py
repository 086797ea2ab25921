from __future__ import annotations

import threading
import time

import pytest

from edgeseg.runtime.stream import in_order


def stream_threads():
    return [t for t in threading.enumerate() if t.name.startswith("edgeseg-stream")]


def doubled(item):
    return [2 * item]


def test_results_come_in_the_order_of_the_source():
    def work(item):
        time.sleep(0.01 * (item % 3 == 0))
        return doubled(item)

    assert list(in_order(work, range(30), workers=4, limit=8)) == [2 * i for i in range(30)]
    assert not stream_threads()


def test_one_item_gives_several_results():
    assert list(in_order(lambda n: [n] * n, range(4), workers=2, limit=2)) == [1, 2, 2, 3, 3, 3]


def test_several_workers_are_at_work_at_once():
    together = threading.Barrier(3, timeout=5)

    def work(item):
        together.wait()
        return [item]

    assert list(in_order(work, range(6), workers=3, limit=3)) == list(range(6))


def test_the_source_is_not_read_further_than_the_limit():
    read = []

    def source():
        for i in range(100):
            read.append(i)
            yield i

    stream = in_order(doubled, source(), workers=1, limit=3)
    assert next(stream) == 0
    time.sleep(0.1)
    assert len(read) <= 1 + 3
    stream.close()
    assert not stream_threads()


def test_an_error_of_the_source_is_raised_after_the_results_before_it():
    def source():
        yield 1
        yield 2
        raise OSError("camera unplugged")

    stream = in_order(doubled, source(), workers=2, limit=4)
    assert [next(stream), next(stream)] == [2, 4]
    with pytest.raises(OSError, match="camera unplugged"):
        next(stream)
    assert not stream_threads()


def test_an_error_of_the_work_is_raised_in_its_place():
    stream = in_order(lambda n: [1 // (2 - n)], range(10), workers=2, limit=4)
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(stream)
    assert not stream_threads()


def test_closing_early_stops_threads_and_the_source():
    def source():
        i = 0
        while True:
            yield i
            i += 1

    stream = in_order(doubled, source(), workers=3, limit=4)
    next(stream)
    stream.close()
    assert not stream_threads()


def test_dropping_the_iterator_stops_threads():
    for result in in_order(doubled, range(10**9), workers=2, limit=4):
        if result >= 10:
            break
    deadline = time.monotonic() + 5
    while stream_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not stream_threads()


def test_a_source_that_hangs_does_not_hang_closing():
    release = threading.Event()

    def source():
        yield 1
        release.wait()
        yield 2

    stream = in_order(doubled, source(), workers=1, limit=4)
    assert next(stream) == 2
    stream.close()
    release.set()
    deadline = time.monotonic() + 5
    while stream_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not stream_threads()
