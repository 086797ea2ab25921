"""An engine on another machine, as a `Backend`: what is said about it is known here, what it does is not."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgeseg.backends import backend_for
from edgeseg.core.bundle import EngineRecord
from edgeseg.core.ports import (
    Array,
    Availability,
    Backend,
    BuildSettings,
    Built,
    ChecksOperators,
    Layer,
    OpenSettings,
    Progress,
    Tensors,
    as_inputs,
    silent,
)
from edgeseg.core.target import Target
from edgeseg.device import jobs, messages
from edgeseg.device.race import EngineFile
from edgeseg.devices.agent import Agent


class RemoteBackend:
    """Builds, opens and runs on a device.

    Args:
        stated: the backend here, for what it states.
    """

    def __init__(self, agent: Agent, stated: Backend) -> None:
        self._agent = agent
        self.options, self.int8 = stated.options, stated.int8
        self.graph, self.computes = stated.graph, stated.computes
        self.targets = stated.targets

    def availability(self, target: Target) -> Availability:
        return self._agent.availability(target)

    def build(
        self, graph: Path, target: Target, folder: Path, settings: BuildSettings, progress: Progress = silent
    ) -> Built:
        job = jobs.Make(
            target=str(target),
            graph=graph.name,
            files=self._agent.send([graph], graph.parent),
            options=settings.options,
            cached=settings.cache is not None,
        )
        made: jobs.Made = self._agent.result(job, jobs.Made, progress=progress)
        self._agent.fetch(made.files, folder)
        return made.built

    def open(self, entry: Path, record: EngineRecord, settings: OpenSettings) -> RemoteEngine:
        job = jobs.Open(
            engine=self._agent.send_engine(EngineFile(entry, record)),
            streams=settings.streams,
            profile=settings.profile,
            cached=settings.cache is not None,
        )
        return RemoteEngine(self._agent, self._agent.result(job, jobs.Opened))


class CheckingBackend(RemoteBackend):
    """Of an engine that `ChecksOperators`."""

    def check(self, graph: Path, target: Target) -> None:
        files = self._agent.send([graph], graph.parent)
        self._agent.ask(jobs.Check(target=str(target), graph=graph.name, files=files))


def remote_backend(agent: Agent, target: Target) -> Backend:
    """Raises TargetError: there is no such engine or precision."""
    stated = backend_for(target)
    kind = CheckingBackend if isinstance(stated, ChecksOperators) else RemoteBackend
    return kind(agent, stated)


class RemoteEngine:
    """An engine that is open on a device."""

    def __init__(self, agent: Agent, opened: jobs.Opened) -> None:
        self._agent, self._number = agent, opened.number
        self._requests = itertools.count()
        self.inputs, self.outputs = opened.inputs, opened.outputs
        self.threads, self.notes = opened.threads, opened.notes

    def request(self) -> RemoteRequest:
        return RemoteRequest(self, next(self._requests))

    def run(self, request: int, inputs: Tensors) -> tuple[float, Mapping[str, Array]]:
        """Device milliseconds and the outputs."""
        infos, parts = messages.arrays(inputs)
        answer = self._agent.ask(jobs.Run(engine=self._number, request=request, inputs=infos), parts)
        ran = msgspec.json.decode(answer.body, type=jobs.Ran)
        return ran.milliseconds, messages.as_arrays(ran.outputs, answer.parts)

    def layers(self) -> tuple[Layer, ...]:
        job, kind = jobs.Layers(engine=self._number), tuple[Layer, ...]
        found: tuple[Layer, ...] = self._agent.result(job, kind)
        return found

    def close(self) -> None:
        self._agent.later(jobs.Close(engine=self._number))


class RemoteRequest:
    """Keeps its inputs here until it runs: one message there and one back."""

    def __init__(self, engine: RemoteEngine, number: int) -> None:
        self._engine, self._number = engine, number
        self._inputs: Tensors = {}
        self._outputs: Mapping[str, Array] = {}

    def write(self, inputs: Tensors) -> None:
        self._inputs = {name: array.copy() for name, array in as_inputs(inputs, self._engine.inputs)}

    def execute(self) -> float:
        milliseconds, self._outputs = self._engine.run(self._number, self._inputs)
        return milliseconds

    def read(self) -> dict[str, Array]:
        return dict(self._outputs)
