"""What a host may ask of a device: one struct per job, which knows how it is done there."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle, EngineRecord, FileEntry, TensorInfo
from edgeseg.core.cache import cache_folder, engine_cache, forget_unused
from edgeseg.core.ports import (
    BuildSettings,
    Built,
    ChecksOperators,
    Engine,
    OpenSettings,
    Progress,
    Request,
)
from edgeseg.core.target import Target
from edgeseg.core.whole import Scratch
from edgeseg.device import messages
from edgeseg.device.describe import describe
from edgeseg.device.here import bench_here, build_here, compare_here, score_here
from edgeseg.device.race import EngineFile, RaceSettings, race
from edgeseg.device.settings import BenchSettings
from edgeseg.device.store import Files, Store
from edgeseg.errors import InputError

Parts = Sequence[bytes]
Options = dict[str, str | int | float | bool]


class Answer(NamedTuple):
    """
    Attributes:
        result: of the job, as its struct says.
        parts: bytes that belong to it.
    """

    result: object
    parts: Sequence[bytes | memoryview] = ()


class Desk:
    """What lasts from job to job: the files that came, and the engines that are open."""

    def __init__(self) -> None:
        for cache in (engine_cache(), *(cache_folder() / name for name in ("built", "zones"))):
            forget_unused(cache)
        self.store = Store(cache_folder() / "device")
        self._numbers = itertools.count(1)
        self._open: dict[int, tuple[Engine, dict[int, Request]]] = {}

    def keep(self, engine: Engine) -> int:
        number = next(self._numbers)
        self._open[number] = engine, {}
        return number

    def engine(self, number: int) -> Engine:
        return self._found(number)[0]

    def request(self, number: int, request: int) -> Request:
        """Made when it is first asked for."""
        engine, requests = self._found(number)
        if request not in requests:
            requests[request] = engine.request()
        return requests[request]

    def close(self, number: int) -> None:
        engine, _ = self._open.pop(number, (None, {}))
        if engine is not None:
            engine.close()

    def close_all(self) -> None:
        for number in list(self._open):
            self.close(number)
        self.store.close()

    def _found(self, number: int) -> tuple[Engine, dict[int, Request]]:
        if number not in self._open:
            raise InputError(f"no engine {number} is open")
        return self._open[number]


class Job(msgspec.Struct, frozen=True, kw_only=True, tag_field="job"):
    """A job ends with an answer, or with the error of what it calls."""

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        raise NotImplementedError


class Describe(Job, frozen=True, tag="describe"):
    """-> `Description`."""

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        return Answer(describe(progress))


class CanDo(Job, frozen=True, tag="availability"):
    """-> `Availability`."""

    target: str

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        target = Target.parse(self.target)
        return Answer(backend_for(target).availability(target))


class Missing(Job, frozen=True, tag="missing"):
    """-> the sha256 of those files that the device does not have."""

    files: tuple[FileEntry, ...]

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        return Answer(desk.store.missing(self.files))


class Put(Job, frozen=True, tag="put"):
    """The next part of a file, in the parts of the message."""

    digest: str
    last: bool

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        desk.store.put(self.digest, b"".join(parts), last=self.last)
        return Answer(None)


class Get(Job, frozen=True, tag="get"):
    """A part of a file, in the parts of the answer."""

    file: FileEntry
    start: int

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        return Answer(None, [desk.store.get(self.file, self.start)])


class Check(Job, frozen=True, tag="check"):
    """`ChecksOperators.check`."""

    target: str
    graph: str
    files: Files

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        target = Target.parse(self.target)
        backend = backend_for(target)
        assert isinstance(backend, ChecksOperators)
        backend.check(desk.store.folder(self.files) / self.graph, target)
        return Answer(None)


class Made(msgspec.Struct, frozen=True):
    built: Built
    files: Files


class Make(Job, frozen=True, tag="make"):
    """`Backend.build` -> `Made`."""

    target: str
    graph: str
    files: Files
    options: Options = {}
    cached: bool = True

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        target = Target.parse(self.target)
        settings = BuildSettings(cache=engine_cache() if self.cached else None, options=self.options)
        graph = desk.store.folder(self.files) / self.graph
        with Scratch() as place:
            built = backend_for(target).build(graph, target, place, settings, progress)
            return Answer(Made(built, desk.store.add_folder(place)))


class SentEngine(msgspec.Struct, frozen=True):
    """A built engine among files that were sent."""

    entry: str
    record: EngineRecord
    files: Files

    def file(self, desk: Desk) -> EngineFile:
        return EngineFile(desk.store.folder(self.files) / self.entry, self.record)


class Opened(msgspec.Struct, frozen=True):
    """An open engine, by its number."""

    number: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    threads: int
    notes: tuple[str, ...]


class Open(Job, frozen=True, tag="open"):
    """`Backend.open` -> `Opened`."""

    engine: SentEngine
    streams: int = 1
    profile: bool = False
    cached: bool = True

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        file = self.engine.file(desk)
        cache = engine_cache() if self.cached else None
        settings = OpenSettings(streams=self.streams, profile=self.profile, cache=cache)
        engine = backend_for(Target.parse(file.record.target)).open(*file, settings)
        number = desk.keep(engine)
        return Answer(Opened(number, engine.inputs, engine.outputs, engine.threads, engine.notes))


class Ran(msgspec.Struct, frozen=True):
    milliseconds: float
    outputs: tuple[TensorInfo, ...]


class Run(Job, frozen=True, tag="run"):
    """One run of an open engine on the arrays in the parts -> `Ran`, with the outputs in the parts."""

    engine: int
    request: int
    inputs: tuple[TensorInfo, ...]

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        request = desk.request(self.engine, self.request)
        request.write(messages.as_arrays(self.inputs, parts))
        milliseconds = request.execute()
        infos, found = messages.arrays(request.read())
        return Answer(Ran(milliseconds, infos), found)


class Layers(Job, frozen=True, tag="layers"):
    """`Engine.layers` -> tuple of `Layer`."""

    engine: int

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        return Answer(desk.engine(self.engine).layers())


class Close(Job, frozen=True, tag="close"):
    engine: int

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        desk.close(self.engine)
        return Answer(None)


class Race(Job, frozen=True, tag="race"):
    """`device.race.race` -> `Taken`. `inputs`: of the arrays in the parts; None: noise."""

    engines: tuple[SentEngine, ...]
    settings: RaceSettings
    inputs: tuple[TensorInfo, ...] | None = None

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        inputs = None if self.inputs is None else messages.as_arrays(self.inputs, parts)
        return Answer(race([one.file(desk) for one in self.engines], self.settings, inputs, progress))


class Finish(Job, frozen=True, tag="finish"):
    """`build_here` -> the files of the child."""

    files: Files
    options: Options = {}

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        bundle = Bundle.open(_bundle(desk, self.files))
        with Scratch() as place:
            child = build_here(bundle, place / "child", self.options, progress=progress)
            return Answer(desk.store.add_folder(child.path))


class Bench(Job, frozen=True, tag="bench"):
    """`bench_here` -> `Measurement`."""

    files: Files
    settings: BenchSettings

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        return Answer(bench_here(_bundle(desk, self.files), self.settings, progress))


class Compare(Job, frozen=True, tag="compare"):
    """`compare_here` -> `Compared`."""

    files: Files
    other: Files
    settings: BenchSettings

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        first, second = (_bundle(desk, files) for files in (self.files, self.other))
        return Answer(compare_here(first, second, self.settings, progress))


class Score(Job, frozen=True, tag="score"):
    """`score_here` on two files `.npy` -> `DeviceScore`."""

    bundle: Files
    frames: Files
    labels: Files

    def do(self, desk: Desk, parts: Parts, progress: Progress) -> Answer:
        (frames,), (labels,) = (
            [desk.store.folder(files) / name for name in files] for files in (self.frames, self.labels)
        )
        return Answer(score_here(_bundle(desk, self.bundle), frames, labels, progress))


def _bundle(desk: Desk, files: Files) -> Path:
    return desk.store.folder(files, lasting=True)


AnyJob = (
    Describe
    | CanDo
    | Missing
    | Put
    | Get
    | Check
    | Make
    | Open
    | Run
    | Layers
    | Close
    | Race
    | Finish
    | Bench
    | Compare
    | Score
)
