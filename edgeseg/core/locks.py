"""Locks between processes: an flock on a file.

It ends with its process, and containers that share a folder see each other's.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeseg.errors import EdgesegError

_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What file systems answer that have no flock: there, processes are not kept apart."""
_held: set[int] = set()


class Lock:
    """A lock that this process holds. A forked child does not hold it on when this process dies."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        _held.add(descriptor)

    def release(self) -> None:
        _held.discard(self._descriptor)
        os.close(self._descriptor)


def take(file: Path, *, make: bool = True, wait: bool = False, certain: bool = False) -> Lock | None:
    """Lock `file`; None when another process holds it. A link is not followed.

    Args:
        make: make the file if it is not there.
        wait: until it is free.
        certain: None also where the file system has no locks.

    Raises:
        OSError: the file cannot be opened or made.
    """
    import fcntl  # not there on Windows, where bundles are read all the same

    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if make else 0)
    while True:
        descriptor = os.open(file, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as fault:
            if certain or fault.errno not in _WITHOUT_LOCKS:
                os.close(descriptor)
                if certain:
                    return None
                raise
        except BaseException:
            os.close(descriptor)
            raise
        if _is(file, descriptor):
            return Lock(descriptor)
        os.close(descriptor)  # its holder removed the file when it was done


@contextmanager
def only_one(
    file: Path, *, refusal: EdgesegError | None = None, waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold the lock `file` during the block; its folder is made, the file goes with the end.

    Args:
        refusal: raised when another process holds it; None: `waiting` is called, and then waited.

    Raises:
        OSError: the file cannot be made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = take(file)
    if lock is None and refusal is not None:
        raise refusal
    if lock is None:
        waiting()
        lock = take(file, wait=True)
    assert lock is not None
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink()
        lock.release()


def _is(file: Path, descriptor: int) -> bool:
    """Whether `file` is still the one that was opened."""
    try:
        found = file.lstat()
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)


def _forget() -> None:
    """In a forked child: its copies would keep the locks of a parent that died."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
