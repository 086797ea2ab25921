"""Memory of the host while a network learns on the CPU."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt(3)."""
_KEPT = {TRIM_THRESHOLD: 2**31 - 1, MMAP_MAX: 0}
_USUAL = {TRIM_THRESHOLD: 128 * 1024, MMAP_MAX: 65536}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Freed tensors stay with the process for the next step.

    glibc gives large blocks back to the kernel at once, which hands out zeroed pages again a moment later: a
    quarter of a training step on a CPU. Elsewhere (musl, macOS, Windows) nothing happens.
    """
    library = ctypes.CDLL(None) if os.name == "posix" else None
    if not (hasattr(library, "mallopt") and hasattr(library, "malloc_trim")):
        yield
        return
    assert library is not None
    _set(library, _KEPT)
    try:
        yield
    finally:
        _set(library, _USUAL)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, values: dict[int, int]) -> None:
    for parameter, value in values.items():
        library.mallopt(parameter, value)
