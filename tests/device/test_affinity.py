from __future__ import annotations

import os
import threading

import pytest

from edgeseg.device.affinity import pinned
from edgeseg.errors import InputError

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")


def test_every_thread_is_pinned_and_released():
    before = os.sched_getaffinity(0)
    one = min(before)
    stop, ident = threading.Event(), []

    def wait():
        ident.append(threading.get_native_id())
        stop.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    while not ident:
        pass
    try:
        with pinned((one,)):
            assert os.sched_getaffinity(0) == os.sched_getaffinity(ident[0]) == {one}
        assert os.sched_getaffinity(0) == os.sched_getaffinity(ident[0]) == before
    finally:
        stop.set()
        thread.join()


def test_an_error_inside_releases_too():
    before = os.sched_getaffinity(0)
    with pytest.raises(ZeroDivisionError), pinned((min(before),)):
        raise ZeroDivisionError
    assert os.sched_getaffinity(0) == before


def test_a_core_that_is_not_here_is_refused():
    with pytest.raises(InputError, match="cores 99999"), pinned((99999,)):
        pass
