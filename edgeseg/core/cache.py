"""Where timing caches, compiled models and generated data go: outside bundles, safe to delete."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from edgeseg.errors import InputError

KEPT_DAYS = 30.0
FORGOTTEN = ".forgotten-"


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/edgeseg` or `~/.cache/edgeseg` (XDG Base Directory Specification).

    Raises:
        InputError: neither is known: a user without an entry and without HOME.
    """
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "edgeseg"
    try:
        return Path.home() / ".cache" / "edgeseg"
    except RuntimeError:
        raise InputError(
            "this user has no home folder, and HOME and XDG_CACHE_HOME are not set",
            expected="a folder for what is kept between runs",
            hint="set XDG_CACHE_HOME to a folder of your own",
        ) from None


def engine_cache() -> Path:
    """Where engines keep compiled models and timings between runs."""
    return cache_folder() / "engines"


def use(entry: Path) -> None:
    """Say that a file or folder in the cache was used: it is kept for another KEPT_DAYS."""
    with suppress(OSError):
        os.utime(entry)


def forget_unused(folder: Path, days: float = KEPT_DAYS) -> None:
    """Delete the files and folders in `folder` that nobody used for so long; what cannot be deleted stays."""
    limit = time.time() - days * 86400
    for entry in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):
            if _last_used(entry) >= limit:
                continue
            if entry.is_dir() and not entry.is_symlink():
                if not entry.name.startswith(FORGOTTEN):
                    entry = entry.rename(folder / f"{FORGOTTEN}{entry.name}")
                shutil.rmtree(entry)
            else:
                entry.unlink()


def _last_used(entry: Path) -> float:
    """Newest change of a file, or of a folder and all in it: the folder tells of its own entries only."""
    inside = [*entry.rglob("*")] if entry.is_dir() and not entry.is_symlink() else []
    return max(path.lstat().st_mtime for path in [entry, *inside])
