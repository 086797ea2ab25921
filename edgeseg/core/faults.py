"""What nobody foresaw -> the one error a user sees."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from edgeseg.errors import EdgesegError, InputError, InternalError

DEBUG = "EDGESEG_DEBUG"
"""Environment variable: anything but empty or 0 adds the traceback to the error."""

_PACKAGE = Path(__file__).parents[1]
_NO_MEMORY = ("can't allocate memory", "bad_alloc", "Unable to allocate", "out of memory")
"""How torch, C++ and NumPy say it in exceptions of other kinds."""


def explained(fault: Exception) -> EdgesegError:
    """The error for an exception that reached a door of edgeseg; an EdgesegError is its own."""
    if isinstance(fault, EdgesegError):
        return fault
    said, place = " ".join(str(fault).split())[:400], _place(fault)
    if isinstance(fault, MemoryError) or any(words in said for words in _NO_MEMORY):
        return InputError(
            f"the memory is not enough for this: {said or 'MemoryError'} ({place}){_trace(fault)}",
            hint="choose smaller frames, a smaller network, batch or list, or fewer streams",
        )
    if isinstance(fault, RecursionError):
        return InputError(
            f"what was given is nested too deeply: {said} ({place}){_trace(fault)}",
            hint="look for something that contains itself, or make it flatter",
        )
    if isinstance(fault, OSError):
        return InputError(f"{fault}{_trace(fault)}")
    return InternalError(
        f"this is a fault of edgeseg: {type(fault).__name__}: {said} ({place}){_trace(fault)}",
        hint=f"please report it with the command and its input; {DEBUG}=1 shows where it comes from",
    )


def printable(text: str) -> str:
    """Control characters as they are written in code: a terminal would obey them, a pipe never see them."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def _place(fault: Exception) -> str:
    """Where in edgeseg it happened: `runtime/session.py:120`."""
    frames = traceback.extract_tb(fault.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    if not own:
        return "outside edgeseg"
    return f"{Path(own[-1].filename).relative_to(_PACKAGE).as_posix()}:{own[-1].lineno}"


def _trace(fault: Exception) -> str:
    if os.environ.get(DEBUG, "0") in ("", "0"):
        return ""
    return "\n" + "".join(traceback.format_exception(fault)).rstrip()
