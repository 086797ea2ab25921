"""Where files are written before they appear whole: a hidden folder beside them, for one process alone."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from edgeseg.core.locks import Lock, take

LOCK = "lock"
_LONGEST = 200


@contextmanager
def hidden_beside(
    destination: Path, rescue: Callable[[Path], None] = lambda leftover: None
) -> Iterator[Path]:
    """A hidden folder `.NAME.partial-RANDOM` beside `destination` that is gone when the block ends.

    Its owner holds the lock inside, and nobody can foresee its name. Such folders without an owner are what
    killed processes left, in whatever container: the next call for the same destination removes them.

    Args:
        rescue: called with each of those first.

    Raises:
        OSError: it cannot be made.
    """
    clear_leftovers(destination, rescue)
    place, lock = _made(destination)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        lock.release()


def clear_leftovers(destination: Path, rescue: Callable[[Path], None] = lambda leftover: None) -> None:
    """Remove the hidden folders beside `destination` whose owners were killed, after `rescue` saw each."""
    for leftover in _leftovers(destination):
        with suppress(OSError):
            _clear(leftover, rescue)


@contextmanager
def replacing(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """A place to write a file that appears as `path` whole, flushed, when the block ends without an error.

    Raises:
        FileExistsError: `path` is there, or appeared meanwhile, and `overwrite` is False.
        OSError: it cannot be written.
    """
    with hidden_beside(path) as place:
        new = place / "new"
        yield new
        with new.open("rb") as stream:
            os.fsync(stream.fileno())
        if overwrite:
            new.replace(path)
        else:
            _appear(new, path)


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A folder to fill that appears as `folder` whole when the block ends without an error; one that appeared
    there meanwhile stays.

    Raises:
        OSError: it cannot be made.
    """
    with hidden_beside(folder) as place:
        new = place / "new"
        new.mkdir()
        yield new
        try:
            new.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def write_whole(path: Path, data: bytes) -> None:
    """Write `path` whole or not at all. Raises OSError."""
    with replacing(path) as new:
        new.write_bytes(data)


class Scratch:
    """A folder for temporary files, where the system keeps them; what killed processes left there goes first.

    Attributes:
        path: the folder, gone after `close` or the end of the block.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        place = self._stack.enter_context(hidden_beside(Path(tempfile.gettempdir()) / "edgeseg"))
        self.path = place / "new"
        self.path.mkdir()

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()


def _appear(new: Path, path: Path) -> None:
    """Name a file `path`, which must not be there. A rename would replace what is."""
    try:
        os.link(new, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with path.open("xb"):
            new.replace(path)


def _made(destination: Path) -> tuple[Path, Lock]:
    while True:
        place = Path(tempfile.mkdtemp(prefix=_prefix(destination), dir=destination.parent))
        with suppress(FileNotFoundError):  # taken for a leftover before it had its lock
            lock = take(place / LOCK)
            if lock is not None:
                return place, lock


def _prefix(destination: Path) -> str:
    name = os.fsencode(destination.name)
    short = destination.name if len(name) <= _LONGEST else hashlib.sha256(name).hexdigest()
    return f".{short}.partial-"


def _leftovers(destination: Path) -> list[Path]:
    pattern = re.compile(re.escape(_prefix(destination)) + "[a-z0-9_]{8}")
    try:
        found = [path for path in destination.parent.iterdir() if pattern.fullmatch(path.name)]
    except OSError:
        return []
    return [path for path in found if path.is_dir() and not path.is_symlink()]


def _clear(leftover: Path, rescue: Callable[[Path], None]) -> None:
    """Remove a folder whose owner is gone; leave it when the owner lives."""
    try:
        lock = take(leftover / LOCK, make=False, certain=True)
    except FileNotFoundError:
        _clear_unlocked(leftover)
        return
    if lock is None:
        return
    try:
        rescue(leftover)
        shutil.rmtree(leftover, ignore_errors=True)
    finally:
        lock.release()


def _clear_unlocked(leftover: Path) -> None:
    """An owner makes the lock before anything else: without it, what is not empty was being removed."""
    try:
        leftover.rmdir()
    except OSError:
        if not (leftover / LOCK).exists():
            shutil.rmtree(leftover, ignore_errors=True)
