"""Work on a source of batches with several threads, keeping order and bounding what is in flight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

SOURCE_WAIT_SECONDS = 1.0
"""How long closing waits for a source that is in the middle of delivering a frame."""


def in_order(
    work: Callable[[Item], Iterable[Result]], source: Iterable[Item], *, workers: int, limit: int
) -> Iterator[Result]:
    """The results of `work` on each item, one after the other, in the order of the source.

    At most `limit` items are being read, waiting, running or ready; the source is not read further
    until there is room, so that a camera's frame is fresh when it is taken. What `source` or `work`
    raises is raised here after all earlier results.
    """
    ready: SimpleQueue[Future[Iterable[Result]] | None] = SimpleQueue()
    slots, stop = Semaphore(limit), Event()
    pool = ThreadPoolExecutor(workers, "edgeseg-stream")

    def feed() -> None:
        try:
            slots.acquire()
            for item in source:
                if stop.is_set():
                    return
                ready.put(pool.submit(work, item))
                slots.acquire()
                if stop.is_set():
                    return
            ready.put(None)
        except BaseException as fault:  # handed to the consumer, who raises it
            failed: Future[Iterable[Result]] = Future()
            failed.set_exception(fault)
            ready.put(failed)

    feeder = Thread(target=feed, name="edgeseg-stream-source", daemon=True)
    feeder.start()
    try:
        while (future := ready.get()) is not None:
            results = future.result()
            slots.release()
            yield from results
    finally:
        stop.set()
        slots.release()
        feeder.join(SOURCE_WAIT_SECONDS)
        pool.shutdown(cancel_futures=True)
