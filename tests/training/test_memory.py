from __future__ import annotations

import ctypes
import resource

import pytest

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


@pytest.mark.skipif(not hasattr(LIBRARY, "mallopt"), reason="the C library is not glibc")
def test_freed_blocks_are_used_again_and_given_back_in_the_end():
    LIBRARY.malloc.restype = ctypes.c_void_p
    usual = pages_of_large_blocks()
    with kept_memory():
        pages_of_large_blocks()
        kept = pages_of_large_blocks()
    assert kept < usual / 10
    assert pages_of_large_blocks() > usual / 2
