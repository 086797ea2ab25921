"""A pipe to the agent of a device: jobs go in, progress and answers come out."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock, get_ident
from typing import Any

import msgspec

from edgeseg import errors
from edgeseg.core.ports import Progress, silent
from edgeseg.device import messages
from edgeseg.device.jobs import Job
from edgeseg.device.messages import Message
from edgeseg.device.serve import Failure, Reply
from edgeseg.devices.pipes import Tail
from edgeseg.devices.zone import Zone
from edgeseg.errors import EdgesegError, InputError, MissingDevice

Command = Callable[[Sequence[str]], Sequence[str]]
"""How a program is started on the device: its arguments there, such as `["python3", "-c", ...]`, to a command
here whose standard input and output are those of the program. It must end when the line is dead."""
START_S = 60.0
"""So long a device may be silent before its agent is there: a login, and the start of Python."""
LEAVE_S = 15.0
SAID = 600
"""Characters of what a device said last that an error shows."""


class RemoteFault(Exception):
    """An exception of an engine, on another machine."""


class Connection:
    """One agent. Calls may come from several threads; the device does one job after the other.

    Attributes:
        closed: the agent is gone, whatever the reason.

    Raises:
        MissingDevice: it cannot be started there.
    """

    def __init__(self, name: str, command: Command, python: str = "python3") -> None:
        self.name, self.closed = name, False
        self._lock, self._owner = Lock(), 0
        self._host = os.getpid()
        self._later: deque[Job] = deque()
        self._gone = MissingDevice(f"the device '{name}' was closed")
        zone = Zone()
        arguments = command(zone.arguments(python))
        pipe = subprocess.PIPE
        try:  # in a session of its own: a Ctrl-C of the terminal is for the host alone
            self._process = subprocess.Popen(
                arguments, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
            )
        except OSError as fault:
            raise MissingDevice(f"device '{name}': {fault}", hint="install what reaches it") from None
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._said = Tail(self._process.stderr, 4 * SAID)
        self._jobs, self._answers = self._process.stdin, self._process.stdout
        try:
            zone.send(self._jobs, self._answers, START_S)
        except (OSError, EOFError) as fault:
            raise self._lost(fault) from None
        except BaseException:
            self._end()
            raise

    def ask(self, job: Job, parts: Sequence[bytes | memoryview] = (), progress: Progress = silent) -> Message:
        """The answer to a job, as JSON, and the bytes that belong to it.

        Raises:
            EdgesegError: that of the job, as it was raised there.
            RemoteFault: an exception of an engine.
            MissingDevice: the device is gone.
        """
        line = messages.encode(job, parts)
        if self._owner == get_ident():
            raise RuntimeError("a job was asked for within the progress of another one")
        if self._host != os.getpid():
            raise MissingDevice(
                f"the device '{self.name}' belongs to the process that this one was forked from"
            )
        with self._lock:
            self._owner = get_ident()
            try:
                while self._later:
                    earlier = self._later.popleft()
                    self._answer(messages.encode(earlier), (), silent)
                answer = self._answer(line, parts, progress)
            except MissingDevice:
                raise
            except BaseException:  # interrupted: what answers next would answer this
                self._end()
                raise
            finally:
                self._owner = 0
        if isinstance(answer, Failure):
            raise self._error(answer)
        return answer

    def result(
        self,
        job: Job,
        kind: Any,
        parts: Sequence[bytes | memoryview] = (),
        progress: Progress = silent,
    ) -> Any:
        """What a job found, of the type `kind`. Raises as `ask`."""
        return msgspec.json.decode(self.ask(job, parts, progress).body, type=kind)

    def later(self, job: Job) -> None:
        """Do a job before the next one that is asked for, whatever comes of it: what finalizers call, which
        run in the middle of anything."""
        self._later.append(job)

    def close(self) -> None:
        """Let the agent end; the second call does nothing, nor does one in a forked child."""
        if self.closed or self._host != os.getpid():
            return
        with suppress(OSError):
            self._jobs.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(LEAVE_S)
        self._end()

    def _answer(
        self, line: bytes, parts: Sequence[bytes | memoryview], progress: Progress
    ) -> Message | Failure:
        if self.closed:
            raise self._gone
        try:
            messages.send(self._jobs, line, parts)
        except (OSError, ValueError) as fault:
            raise self._lost(fault) from None
        while True:
            try:
                found = messages.read(self._answers)
                if found is None:
                    raise OSError("the connection ended")
                reply = msgspec.json.decode(found.body, type=Reply)
            except (OSError, InputError, ValueError) as fault:
                raise self._lost(fault) from None
            if reply.progress is None:
                return reply.error or Message(reply.result, found.parts)
            progress(reply.progress, reply.done, reply.total)

    def _error(self, failure: Failure) -> Exception:
        kind = getattr(errors, failure.kind, None) if failure.kind else None
        if not (isinstance(kind, type) and issubclass(kind, EdgesegError)):
            return RemoteFault(failure.message)
        error = kind.__new__(kind)
        message = f"on the device '{self.name}': {failure.message}"
        EdgesegError.__init__(error, message, expected=failure.expected, hint=failure.hint)
        return error

    def _lost(self, fault: Exception) -> MissingDevice:
        """The error for an agent that is gone, with what it said last."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        said = " ".join(self._said.text(1.0).split())[-SAID:]
        if isinstance(fault, TimeoutError):
            said = f"{fault}; {said}" if said else ""
        self._gone = MissingDevice(
            f"the device '{self.name}' does not answer: {said or fault}",
            expected="Python 3.10 or newer there, with numpy and msgspec",
        )
        self._end()
        return self._gone

    def _end(self) -> None:
        self.closed = True
        if self._process.poll() is None:  # with what it started: its session is its own
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._jobs, self._answers):
            with suppress(OSError):
                stream.close()
