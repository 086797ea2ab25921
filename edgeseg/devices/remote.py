"""A device at the other end of a pipe, however the pipe is made: what transports hand out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import msgspec

from edgeseg.core.bundle import Bundle
from edgeseg.core.drafts import draft
from edgeseg.core.measurement import Measurement
from edgeseg.core.ports import Backend, Progress, Tensors, silent
from edgeseg.core.target import Target
from edgeseg.device import jobs, messages
from edgeseg.device.describe import Description
from edgeseg.device.here import BuildOptions, Compared
from edgeseg.device.infer import DeviceScore
from edgeseg.device.race import EngineFile, RaceSettings, Taken
from edgeseg.device.settings import BenchSettings
from edgeseg.device.store import Files
from edgeseg.devices.agent import Agent
from edgeseg.devices.connection import Command
from edgeseg.devices.remote_backend import remote_backend
from edgeseg.errors import BundleError


class Remote:
    """A `Device` whose agent is started when it is first needed.

    Args:
        command: how a program is started there with its standard input and output here.
        python: the interpreter there.
    """

    def __init__(self, name: str, command: Command, python: str = "python3") -> None:
        self.name = name
        self._command, self._python = command, python
        self._started: Agent | None = None
        self._starting = Lock()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *fault: object) -> None:
        """Let the agent end."""
        with self._starting:
            if self._started:
                self._started.close()
            self._started = None

    @property
    def _agent(self) -> Agent:
        """That of the last call; a new one when it is gone."""
        with self._starting:
            if self._started is None or self._started.closed:
                self._started = Agent(self.name, self._command, self._python)
            return self._started

    def describe(self, progress: Progress = silent) -> Description:
        found: Description = self._agent.result(jobs.Describe(), Description, progress=progress)
        return found

    def backend(self, target: Target) -> Backend:
        return remote_backend(self._agent, target)

    def race(
        self,
        engines: Sequence[EngineFile],
        settings: RaceSettings,
        inputs: Tensors | None = None,
        progress: Progress = silent,
    ) -> Taken:
        sent = tuple(self._agent.send_engine(file) for file in engines)
        infos, parts = (None, []) if inputs is None else messages.arrays(inputs)
        job = jobs.Race(engines=sent, settings=settings, inputs=infos)
        taken: Taken = self._agent.result(job, Taken, parts, progress)
        return taken

    def bench(self, bundle: Path, settings: BenchSettings, progress: Progress = silent) -> Measurement:
        job = jobs.Bench(files=self._agent.send_bundle(bundle), settings=_without_cache(settings))
        found: Measurement = self._agent.result(job, Measurement, progress=progress)
        return found

    def compare(self, a: Path, b: Path, settings: BenchSettings, progress: Progress = silent) -> Compared:
        first, second = self._agent.send_bundle(a), self._agent.send_bundle(b)
        job = jobs.Compare(files=first, other=second, settings=_without_cache(settings))
        found: Compared = self._agent.result(job, Compared, progress=progress)
        return found

    def build(
        self,
        bundle: Bundle,
        output: Path,
        options: BuildOptions,
        *,
        overwrite: bool = False,
        progress: Progress = silent,
    ) -> Bundle:
        job = jobs.Finish(files=self._agent.send_bundle(bundle.path), options=dict(options))
        made: Files = self._agent.result(job, Files, progress=progress)
        with draft(output, overwrite=overwrite) as result:
            self._agent.fetch(made, result.path)
            result.adopt()
            parent = result.manifest.parent if result.manifest else None
            if parent != bundle.as_parent():
                raise BundleError(f"the device '{self.name}' sent another bundle than what was asked for")
        return Bundle.open(output)

    def score(self, bundle: Path, frames: Path, labels: Path, progress: Progress = silent) -> DeviceScore:
        job = jobs.Score(
            bundle=self._agent.send_bundle(bundle),
            frames=self._agent.send([frames], frames.parent),
            labels=self._agent.send([labels], labels.parent),
        )
        found: DeviceScore = self._agent.result(job, DeviceScore, progress=progress)
        return found


def _without_cache(settings: BenchSettings) -> BenchSettings:
    """The device has its own."""
    return msgspec.structs.replace(settings, cache=None)
