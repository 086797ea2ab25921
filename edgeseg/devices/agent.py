"""The agent of a device: what it was asked once, and files that go there and back."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from edgeseg.core.bundle import MANIFEST, Bundle, FileEntry, file_sha256
from edgeseg.core.names import require_file_name
from edgeseg.core.ports import Availability
from edgeseg.core.target import Target
from edgeseg.device import jobs
from edgeseg.device.race import EngineFile
from edgeseg.device.store import PART_BYTES, Files
from edgeseg.devices.connection import Command, Connection
from edgeseg.errors import InputError

MOST_FILES, MOST_BYTES = 10_000, 16 << 30
"""Of what a device makes at once, such as an engine."""


class Agent(Connection):
    """Raises and arguments: as `Connection`."""

    def __init__(self, name: str, command: Command, python: str = "python3") -> None:
        super().__init__(name, command, python)
        self._can: dict[Target, Availability] = {}
        self._hashes: dict[tuple[Path, int, int], str] = {}

    def availability(self, target: Target) -> Availability:
        """Asked once."""
        if target not in self._can:
            self._can[target] = self.result(jobs.CanDo(target=str(target)), Availability)
        return self._can[target]

    def send_engine(self, file: EngineFile) -> jobs.SentEngine:
        """An engine, with all that lies in its folder."""
        folder = file.entry.parent
        files = self.send([one for one in sorted(folder.rglob("*")) if not one.is_dir()], folder)
        return jobs.SentEngine(file.entry.name, file.record, files)

    def send_bundle(self, path: Path) -> Files:
        """A bundle, checked here, and nothing else that may lie in its folder. Raises as `Bundle.open`."""
        bundle = Bundle.open(path)
        return self.send([bundle.path / MANIFEST, *map(bundle.file, bundle.manifest.files)], bundle.path)

    def send(self, files: Iterable[Path], folder: Path) -> Files:
        """Let the device have these files; what it has is not sent. What they are called in `folder`.

        Raises:
            InputError: a link, whose target may be anything.
        """
        found = {}
        for file in files:
            if file.is_symlink():
                raise InputError(f"{file} is a link", expected="a regular file")
            found[file] = FileEntry(file.stat().st_size, self._sha256(file))
        places = {entry.sha256: file for file, entry in found.items()}
        wanted: tuple[str, ...] = self.result(jobs.Missing(files=tuple(found.values())), tuple[str, ...])
        for digest in wanted:
            with places[digest].open("rb") as stream:
                part = stream.read(PART_BYTES)
                last = False
                while not last:
                    following = stream.read(PART_BYTES)
                    last = not following
                    self.ask(jobs.Put(digest=digest, last=last), [part])
                    part = following
        return {file.relative_to(folder).as_posix(): entry for file, entry in found.items()}

    def fetch(self, files: Files, folder: Path) -> None:
        """Write files of the device into a folder.

        Raises:
            InputError: one does not come whole, is larger than the device said, or they are too many or too
                large; before more is written than was announced, and is free.
        """
        for name in files:
            require_file_name(name, f"the device '{self.name}' made a file that")
        self._require_room(files, folder)
        for name, entry in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            digest, size = hashlib.sha256(), 0
            with (folder / name).open("wb") as stream:
                while size < entry.size:
                    answer = self.ask(jobs.Get(file=entry, start=size))
                    part = b"".join(answer.parts)
                    size += len(part)
                    if not part or size > entry.size:
                        break
                    stream.write(part)
                    digest.update(part)
            if digest.hexdigest() != entry.sha256:
                raise InputError(f"{name} did not come whole from the device '{self.name}'")

    def _require_room(self, files: Files, folder: Path) -> None:
        sizes = [entry.size for entry in files.values()]
        most = min(MOST_BYTES, shutil.disk_usage(folder).free)
        if len(sizes) > MOST_FILES or min(sizes, default=0) < 0 or sum(sizes) > most:
            raise InputError(
                f"the device '{self.name}' made {len(sizes)} file(s) of {sum(sizes):,} bytes",
                expected=f"at most {MOST_FILES:,} files, of {most:,} bytes",
                hint="make room on the disk, or look at the device",
            )

    def _sha256(self, file: Path) -> str:
        about = file.stat()
        key = file.absolute(), about.st_size, about.st_mtime_ns
        if key not in self._hashes:
            self._hashes[key] = file_sha256(file)
        return self._hashes[key]
