"""Pinning the whole process to some cores, and back."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeseg.backends.cpu import usable_cpus
from edgeseg.errors import InputError


@contextmanager
def pinned(cpus: tuple[int, ...]) -> Iterator[None]:
    """Every thread of the process on `cpus` inside the block, on all its former cores after it.

    Threads started inside inherit the cores. Empty `cpus`: nothing happens.

    Raises:
        InputError: a core this process may not use, or a system that cannot pin.
    """
    if not cpus:
        yield
        return
    here = usable_cpus()
    missing = sorted(set(cpus) - set(here))
    if missing or not hasattr(os, "sched_setaffinity"):
        raise InputError(
            f"the process cannot be pinned to the cores {', '.join(map(str, missing or cpus))}",
            expected=f"cores out of {', '.join(map(str, here))} on Linux; this is {platform.system()}",
        )
    _pin_all(cpus)
    try:
        yield
    finally:
        _pin_all(here)


def _pin_all(cpus: tuple[int, ...]) -> None:
    for task in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(task.name), cpus)
        except ProcessLookupError:
            continue
