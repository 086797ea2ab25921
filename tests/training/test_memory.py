from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import edgeseg
from edgeseg.training.memory import kept_memory

LIBRARY = ctypes.CDLL(None)
SIZE = 64 << 20


def pages_of_large_blocks() -> int:
    """Pages the kernel hands out when a block is taken, written and freed five times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        block = LIBRARY.malloc(ctypes.c_size_t(SIZE))
        LIBRARY.memset(ctypes.c_void_p(block), 1, ctypes.c_size_t(SIZE))
        LIBRARY.free(ctypes.c_void_p(block))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def judged() -> None:
    LIBRARY.malloc.restype = ctypes.c_void_p
    usual = pages_of_large_blocks()
    with kept_memory():
        pages_of_large_blocks()
        kept = pages_of_large_blocks()
    assert kept < usual / 10, (kept, usual)
    assert pages_of_large_blocks() > usual / 2


@pytest.mark.skipif(not hasattr(LIBRARY, "mallopt"), reason="the C library is not glibc")
def test_freed_blocks_are_used_again_and_given_back_in_the_end():
    """In a process of its own: where other tests mapped memory behind the heap, it cannot grow."""
    command = [sys.executable, "-c", "import test_memory; test_memory.judged()"]
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{Path(edgeseg.__file__).parents[1]}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
