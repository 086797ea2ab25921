from __future__ import annotations

import gc
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edgeseg.datasets.deep import read_array


class Garbage:
    """In a circle, so that it is collected while something else is made. Then it lets other threads in, and
    leaves another behind."""

    wanted = True

    def __init__(self):
        self.me = self

    def __del__(self):
        time.sleep(1e-5)
        if Garbage.wanted:
            Garbage()


@pytest.fixture
def eager_collector(monkeypatch):
    monkeypatch.setattr(Garbage, "wanted", True)
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(5, 2, 2)
    yield
    Garbage.wanted = False
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    gc.collect()


def test_arrays_are_read_by_several_threads(tmp_path, eager_collector):
    """Python 3.11 made the syntax trees of their headers wrongly."""
    path = tmp_path / "image.npy"
    np.save(path, np.zeros((8, 12, 5), np.uint8))

    def read(_):
        Garbage()
        for _ in range(100):
            assert read_array(path).shape == (8, 12, 5)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(8)))
