"""What crosses a pipe before there is an agent behind it, within a time; what is said beside its answers."""

from __future__ import annotations

import os
import select
import threading
import time
from typing import IO

LONGEST = 200
"""Bytes of a line that is read here."""
AT_ONCE = select.PIPE_BUF
"""So many bytes a pipe takes that takes any."""


def read_line(descriptor: int, seconds: float) -> bytes:
    """The first LONGEST bytes, or those up to a line break, or to the end. No byte behind them is read.

    Raises:
        TimeoutError: they did not come in time.
    """
    found, end = b"", time.monotonic() + seconds
    while len(found) < LONGEST and not found.endswith(b"\n"):
        _wait(descriptor, select.POLLIN, end - time.monotonic(), f"it said nothing for {seconds:g} s")
        byte = os.read(descriptor, 1)
        if not byte:
            break
        found += byte
    return found


def write_all(descriptor: int, content: bytes, seconds: float) -> None:
    """
    Raises:
        TimeoutError: for so long nothing more of it was taken. OSError: nobody is there to take it.
    """
    for start in range(0, len(content), AT_ONCE):
        _wait(descriptor, select.POLLOUT, seconds, f"it took nothing for {seconds:g} s")
        os.write(descriptor, content[start : start + AT_ONCE])


def _wait(descriptor: int, event: int, seconds: float, fault: str) -> None:
    waiting = select.poll()
    waiting.register(descriptor, event)
    if seconds <= 0 or not waiting.poll(1000 * seconds):
        raise TimeoutError(fault)


class Tail:
    """The last bytes of a stream that is read as it comes, so that it fills neither a pipe nor a disk."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._size, self._kept = stream, size, b""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def text(self, seconds: float) -> str:
        """What was said until now; where the stream may end, after waiting so long for it."""
        self._reading.join(seconds)
        return self._kept.decode(errors="replace")

    def _read(self) -> None:
        with self._stream:
            while part := os.read(self._stream.fileno(), 1 << 16):
                self._kept = (self._kept + part)[-self._size :]
