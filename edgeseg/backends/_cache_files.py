"""Engine caches on disk: optional, possibly read-only, never a reason to fail."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path

from edgeseg.core.whole import write_whole

DIGEST = 32


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


def read_if_whole(file: Path) -> bytes:
    """What `keep` wrote there; empty when it cannot be read, or is not what was written."""
    try:
        stored = file.read_bytes()
    except OSError:
        return b""
    digest, data = stored[:DIGEST], stored[DIGEST:]
    return data if hashlib.sha256(data).digest() == digest else b""


def keep(file: Path, data: bytes) -> None:
    """Write `data` behind its sha256, whole or not at all; a full or read-only disk leaves what was there."""
    with suppress(OSError):
        write_whole(file, hashlib.sha256(data).digest() + data)
