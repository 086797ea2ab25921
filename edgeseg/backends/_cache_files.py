"""Engine caches on disk: optional, possibly read-only, never a reason to fail."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from edgeseg.core.whole import write_whole


def writable(folder: Path | None) -> tuple[Path | None, tuple[str, ...]]:
    """`folder`, made if needed; or None with a note when nothing can be written there."""
    if folder is None:
        return None, ()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as fault:
        reason = fault.strerror or str(fault)
        return None, (f"the cache folder {folder} cannot be written ({reason}): opening stays slow",)
    return folder, ()


def read_if_present(file: Path) -> bytes:
    """The file's bytes; empty when it cannot be read."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def replace(file: Path, data: bytes) -> None:
    """Write `file` whole or not at all; a full or read-only disk leaves it as it was."""
    with suppress(OSError):
        write_whole(file, data)
