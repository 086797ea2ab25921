"""A device at the other end of a pipe, however the pipe is made: what transports hand out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from edgeseg.core.bundle import Bundle, FileEntry, file_sha256
from edgeseg.core.drafts import draft
from edgeseg.core.measurement import Measurement, PairedRatio
from edgeseg.core.names import require_file_name
from edgeseg.core.ports import Availability, Backend, Progress, Tensors, silent
from edgeseg.core.target import Target
from edgeseg.device import jobs, messages
from edgeseg.device.describe import Description
from edgeseg.device.infer import DeviceScore
from edgeseg.device.jobs import Files
from edgeseg.device.race import EngineFile, RaceSettings, Taken
from edgeseg.device.settings import BenchSettings
from edgeseg.device.store import PART_BYTES
from edgeseg.devices.connection import Command, Connection
from edgeseg.errors import InputError

Compared = tuple[Measurement, Measurement, PairedRatio, PairedRatio]


class Remote:
    """A `Device` whose agent is started on first use.

    Args:
        command: how a program is started there with its standard input and output here.
        python: the interpreter there.
    """

    def __init__(self, name: str, command: Command, python: str = "python3") -> None:
        self.name = name
        self._command, self._python = command, python
        self._can: dict[Target, Availability] = {}
        self._hashes: dict[tuple[Path, int, int], str] = {}

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *fault: object) -> None:
        """Let the agent end."""
        if self.connected:
            self.connection.close()
            del self.connection

    @property
    def connected(self) -> bool:
        return "connection" in self.__dict__

    @cached_property
    def connection(self) -> Connection:
        return Connection(self.name, self._command, self._python)

    def describe(self, progress: Progress = silent) -> Description:
        found: Description = self.connection.result(jobs.Describe(), Description, progress=progress)
        return found

    def backend(self, target: Target) -> Backend:
        from edgeseg.devices.remote_backend import RemoteBackend

        return RemoteBackend(self, target)

    def availability(self, target: Target) -> Availability:
        """Asked once."""
        if target not in self._can:
            self._can[target] = self.connection.result(jobs.CanDo(target=str(target)), Availability)
        return self._can[target]

    def race(
        self,
        engines: Sequence[EngineFile],
        settings: RaceSettings,
        inputs: Tensors | None = None,
        progress: Progress = silent,
    ) -> Taken:
        sent = tuple(self.send_engine(file) for file in engines)
        infos, parts = (None, []) if inputs is None else messages.arrays(inputs)
        job = jobs.Race(engines=sent, settings=settings, inputs=infos)
        taken: Taken = self.connection.result(job, Taken, parts, progress)
        return taken

    def bench(self, bundle: Path, settings: BenchSettings, progress: Progress = silent) -> Measurement:
        job = jobs.Bench(files=self.send_folder(bundle), settings=_without_cache(settings))
        found: Measurement = self.connection.result(job, Measurement, progress=progress)
        return found

    def compare(self, a: Path, b: Path, settings: BenchSettings, progress: Progress = silent) -> Compared:
        first, second = self.send_folder(a), self.send_folder(b)
        job = jobs.Compare(files=first, other=second, settings=_without_cache(settings))
        found: Compared = self.connection.result(job, Compared, progress=progress)
        return found

    def build(
        self,
        bundle: Bundle,
        output: Path,
        options: Mapping[str, str | int | float | bool],
        *,
        overwrite: bool = False,
        progress: Progress = silent,
    ) -> Bundle:
        job = jobs.Finish(files=self.send_folder(bundle.path), options=dict(options))
        made: Files = self.connection.result(job, Files, progress=progress)
        with draft(output, overwrite=overwrite) as result:
            self.fetch(made, result.path)
            result.adopt()
        return Bundle.open(output)

    def score(self, bundle: Path, frames: Path, labels: Path, progress: Progress = silent) -> DeviceScore:
        job = jobs.Score(
            bundle=self.send_folder(bundle),
            frames=self.send([frames], frames.parent),
            labels=self.send([labels], labels.parent),
        )
        found: DeviceScore = self.connection.result(job, DeviceScore, progress=progress)
        return found

    def send_engine(self, file: EngineFile) -> jobs.SentEngine:
        return jobs.SentEngine(file.entry.name, file.record, self.send_folder(file.entry.parent))

    def send_folder(self, folder: Path) -> Files:
        """`send` with all files in a folder. Raises InputError when there are none."""
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        if not files:
            raise InputError(f"{folder} holds no file", expected="a bundle, or a built engine")
        return self.send(files, folder)

    def send(self, files: Iterable[Path], folder: Path) -> Files:
        """Let the device have these files; what it has is not sent. What they are called in `folder`."""
        found = {file: FileEntry(file.stat().st_size, self._sha256(file)) for file in files}
        places = {entry.sha256: file for file, entry in found.items()}
        wanted: tuple[str, ...] = self.connection.result(jobs.Missing(digests=tuple(places)), tuple[str, ...])
        for digest in wanted:
            with places[digest].open("rb") as stream:
                part = stream.read(PART_BYTES)
                last = False
                while not last:
                    following = stream.read(PART_BYTES)
                    last = not following
                    self.connection.ask(jobs.Put(digest=digest, last=last), [part])
                    part = following
        return {file.relative_to(folder).as_posix(): entry for file, entry in found.items()}

    def fetch(self, files: Files, folder: Path) -> None:
        """Write files of the device into a folder. Raises InputError when one does not come whole."""
        for name, entry in files.items():
            require_file_name(name, f"the device '{self.name}' made a file that")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            digest, size = hashlib.sha256(), 0
            with (folder / name).open("wb") as stream:
                while size < entry.size:
                    answer = self.connection.ask(jobs.Get(digest=entry.sha256, start=size))
                    part = b"".join(answer.parts)
                    if not part:
                        break
                    stream.write(part)
                    digest.update(part)
                    size += len(part)
            if digest.hexdigest() != entry.sha256:
                raise InputError(f"{name} did not come whole from the device '{self.name}'")

    def _sha256(self, file: Path) -> str:
        about = file.stat()
        key = file.absolute(), about.st_size, about.st_mtime_ns
        if key not in self._hashes:
            self._hashes[key] = file_sha256(file)
        return self._hashes[key]


def _without_cache(settings: BenchSettings) -> BenchSettings:
    """The device has its own."""
    return msgspec.structs.replace(settings, cache=None)
