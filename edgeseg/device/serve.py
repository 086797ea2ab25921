"""The agent at the other end of a pipe: jobs come in, progress and answers go out, until the pipe closes."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO

import msgspec

from edgeseg import errors
from edgeseg.core.faults import explained
from edgeseg.device import messages
from edgeseg.device.jobs import AnyJob, Desk
from edgeseg.device.messages import Message
from edgeseg.errors import EdgesegError, InternalError

Inbox = queue.SimpleQueue["Message | EdgesegError | None"]
GRACE_S = 10.0
"""For a job to clean up behind it when its host is gone."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        kind: the class in `edgeseg.errors`; empty: an exception of an engine.
    """

    kind: str
    message: str
    expected: str = ""
    hint: str = ""


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the agent: progress, or the end of a job.

    Attributes:
        progress: what is going on; None: the job is done.
    """

    progress: str | None = None
    done: int = 0
    total: int = 0
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: Failure | None = None


def serve() -> int:
    """Work for the host at the other end of standard input and output, until it is gone."""
    jobs, answers = _private(sys.stdin.fileno(), "rb"), _private(sys.stdout.fileno(), "wb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what engines print is no message
    waiting: Inbox = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_receive, args=(jobs, waiting, busy), daemon=True).start()
    desk = Desk()
    try:
        while (found := waiting.get()) is not None:
            busy.set()
            _work(desk, found, answers)
            busy.clear()
    except (KeyboardInterrupt, BrokenPipeError):
        return 1
    finally:
        desk.close_all()
    return 0


def _receive(jobs: IO[bytes], waiting: Inbox, busy: threading.Event) -> None:
    """Hand on messages as they come. When the host is gone, a job in progress is interrupted."""
    try:
        while (message := messages.read(jobs)) is not None:
            waiting.put(message)
    except Exception as fault:  # too little memory, or no message: what follows cannot be read either
        waiting.put(explained(fault))
    finally:
        waiting.put(None)
        if busy.is_set():
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(GRACE_S)
        os._exit(1)


def _work(desk: Desk, given: Message | EdgesegError, answers: IO[bytes]) -> None:
    def tell(message: str, done: int = 0, total: int = 0) -> None:
        messages.write(answers, Reply(progress=message, done=done, total=total))

    try:
        if isinstance(given, EdgesegError):
            raise given
        job: AnyJob = msgspec.json.decode(given.body, type=AnyJob)
        result, parts = job.do(desk, given.parts, tell)
        line = messages.encode(Reply(result=msgspec.Raw(msgspec.json.encode(result))), parts)
    except BrokenPipeError:
        raise
    except Exception as fault:
        messages.write(answers, Reply(error=_failure(fault)))
        return
    messages.send(answers, line, parts)


def _failure(fault: Exception) -> Failure:
    error = explained(fault)
    if isinstance(error, InternalError):
        return Failure(kind="", message=error.message)
    kind = next(c.__name__ for c in type(error).__mro__ if getattr(errors, c.__name__, None) is c)
    return Failure(kind=kind, message=error.message, expected=error.expected, hint=error.hint)


def _private(descriptor: int, mode: str) -> IO[bytes]:
    return os.fdopen(os.dup(descriptor), mode)
