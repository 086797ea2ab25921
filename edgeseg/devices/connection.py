"""A pipe to the agent of a device: jobs go in, progress and answers come out."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import RLock
from typing import IO, Any

import msgspec

from edgeseg import errors
from edgeseg.core.ports import Progress, silent
from edgeseg.device import messages
from edgeseg.device.jobs import Job
from edgeseg.device.messages import Message
from edgeseg.device.serve import Failure, Reply
from edgeseg.devices.zone import Zone
from edgeseg.errors import EdgesegError, InputError, MissingDevice

Command = Callable[[Sequence[str]], Sequence[str]]
"""How a program is started on the device: its arguments there, such as `["python3", "-c", ...]`, to a command
here whose standard input and output are those of the program."""
LEAVE_S = 15.0
SAID = 600
"""Characters of what a device said last that an error shows."""


class RemoteFault(Exception):
    """An exception of an engine, on another machine."""


class Connection:
    """One agent. Calls may come from several threads; the device does one job after the other.

    Raises:
        MissingDevice: it cannot be started there.
    """

    def __init__(self, name: str, command: Command, python: str = "python3") -> None:
        self.name, self.closed = name, False
        self._lock = RLock()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        zone = Zone()
        try:
            self._process = subprocess.Popen(
                command(zone.arguments(python)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
            )
        except OSError as fault:
            self._said.close()
            raise MissingDevice(f"device '{name}': {fault}", hint="install what reaches it") from None
        assert self._process.stdin and self._process.stdout
        self._jobs, self._answers = self._process.stdin, self._process.stdout
        try:
            zone.send(self._jobs, self._answers)
        except (OSError, EOFError) as fault:
            raise self._lost(fault) from None

    def ask(self, job: Job, parts: Sequence[bytes | memoryview] = (), progress: Progress = silent) -> Message:
        """The answer to a job, as JSON, and the bytes that belong to it.

        Raises:
            EdgesegError: that of the job, as it was raised there.
            RemoteFault: an exception of an engine.
            MissingDevice: the device is gone.
        """
        with self._lock:
            try:
                messages.write(self._jobs, job, parts)
                answer = self._answer(progress)
            except (OSError, InputError, ValueError) as fault:
                raise self._lost(fault) from None
            except BaseException:  # interrupted: what answers next would answer this
                self._process.kill()
                raise
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

    def close(self) -> None:
        """Let the agent end; the second call does nothing."""
        if self.closed:
            return
        self.closed = True
        with suppress(OSError):
            self._jobs.close()
        try:
            self._process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with suppress(OSError):
            self._answers.close()
        self._said.close()

    def _answer(self, progress: Progress) -> Message | Failure:
        while (found := messages.read(self._answers)) is not None:
            reply = msgspec.json.decode(found.body, type=Reply)
            if reply.progress is not None:
                progress(reply.progress, reply.done, reply.total)
                continue
            return reply.error or Message(reply.result, found.parts)
        raise OSError("the connection ended")

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
        said = ""
        if not self.closed:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
            self._process.kill()
            self._said.seek(0)
            said = " ".join(self._said.read().decode(errors="replace").split())[-SAID:]
            self.close()
        return MissingDevice(
            f"the device '{self.name}' does not answer: {said or fault}",
            expected="Python 3.10 or newer there, with numpy and msgspec",
        )
