"""A file that a user names: it is there, it is a file, and no more of it is read than makes sense."""

from __future__ import annotations

import stat
from pathlib import Path

from edgeseg.errors import InputError

_KINDS = (
    (stat.S_ISDIR, "is a folder"),
    (stat.S_ISFIFO, "is a named pipe"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)


def require_file(
    path: Path,
    what: str = "",
    *,
    expected: str = "a file",
    hint: str = "",
    error: type[InputError] = InputError,
) -> int:
    """Bytes of a regular file. A pipe or a device is none: reading it may never end.

    Args:
        what: stands before the path in the error: `the checkpoint`.

    Raises:
        error: nothing there, something else than a file, or a path that cannot be looked up.
    """
    named = f"{what} {path}".strip()
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null character
        raise error(f"{named} does not exist", expected=expected, hint=hint) from None
    except OSError as fault:
        raise error(f"{named} cannot be read: {fault.strerror}", expected=expected, hint=hint) from None
    kind = next((name for test, name in _KINDS if test(found.st_mode)), None)
    if kind is not None:
        raise error(f"{named} {kind}", expected=expected, hint=hint)
    return found.st_size


def read_whole(path: Path, *, most: int, error: type[InputError] = InputError) -> bytes:
    """The content of a file of at most `most` bytes. Raises `error` as `require_file`, and for more bytes."""
    size = require_file(path, error=error)
    if size > most:
        raise error(f"{path} has {size:,} bytes", expected=f"at most {most:,}")
    try:
        return path.read_bytes()
    except OSError as fault:
        raise error(f"{path} cannot be read: {fault.strerror}") from None
