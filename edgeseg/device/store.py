"""Files by what they hold: a host sends a file once, whatever it is called in however many bundles."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from edgeseg.core.bundle import FileEntry, file_sha256
from edgeseg.core.cache import forget_unused, use
from edgeseg.core.names import require_file_name
from edgeseg.core.whole import Scratch, appearing, replacing
from edgeseg.errors import InputError

Files = Mapping[str, FileEntry]
"""The files of a folder by their names in it."""
PART_BYTES = 8 << 20
"""A file travels in parts of this size."""


class Store:
    """Kept in the cache of a device. Bundles stay until nobody used them for long; the graphs and engines of
    trials go when it is closed.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._files, self._folders = folder / "files", folder / "folders"
        for place in (self._files, self._folders):
            place.mkdir(parents=True, exist_ok=True)
            forget_unused(place)
        self._arriving = Scratch()
        self._brief: set[Path] = set()

    def missing(self, files: Iterable[FileEntry]) -> tuple[str, ...]:
        """The sha256 of those that are not here."""
        return tuple({entry.sha256: None for entry in files if not self._has(entry)})

    def put(self, digest: str, part: bytes, *, last: bool) -> None:
        """The next part of a file. Raises InputError when what came is not what was announced."""
        destination = self._file(digest)
        arriving = self._arriving.path / digest
        try:
            with arriving.open("ab") as stream:
                stream.write(part)
            if last:
                self._keep(arriving, destination)
        except BaseException:
            arriving.unlink(missing_ok=True)
            raise
        if last:
            arriving.unlink()

    def add(self, file: Path) -> FileEntry:
        """Take a copy of a file of this device."""
        entry = FileEntry(file.stat().st_size, file_sha256(file))
        if not self._has(entry):
            self._take(file, self._file(entry.sha256))
        return entry

    def add_folder(self, folder: Path) -> dict[str, FileEntry]:
        return {
            file.relative_to(folder).as_posix(): self.add(file)
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }

    def get(self, digest: str, start: int) -> bytes:
        """At most PART_BYTES of a file."""
        with self._file(digest).open("rb") as stream:
            stream.seek(start)
            return stream.read(PART_BYTES)

    def folder(self, files: Files, *, lasting: bool = False) -> Path:
        """A folder that holds these files, which are all here. Nobody may write in it.

        Args:
            lasting: it is a bundle, which may be asked for again.

        Raises:
            InputError: names that lead elsewhere, or a file that never came.
        """
        for name in files:
            require_file_name(name, "the file")
        if absent := self.missing(files.values()):
            raise InputError(f"the device was never sent {', '.join(absent)}")
        listing = msgspec.json.encode(files, order="deterministic")
        place = self._folders / hashlib.sha256(listing).hexdigest()
        if not all(_is_whole(place / name, entry) for name, entry in files.items()):
            shutil.rmtree(place, ignore_errors=True)
            with appearing(place) as new:
                self._link(files, new)
            self._brief.add(place)
        for used in (place, *(self._file(entry.sha256) for entry in files.values())):
            use(used)
            if lasting:
                self._brief.discard(used)
        return place

    def close(self) -> None:
        self._arriving.close()
        for path in self._brief:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _link(self, files: Files, folder: Path) -> None:
        for name, entry in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(self._file(entry.sha256), folder / name)
            except OSError:  # a file system without links
                shutil.copyfile(self._file(entry.sha256), folder / name)

    def _keep(self, file: Path, destination: Path) -> None:
        came, wanted = file_sha256(file), destination.name
        if came != wanted:
            raise InputError(f"a file came as {came}", expected=wanted, hint="look at the connection")
        self._take(file, destination)

    def _take(self, file: Path, destination: Path) -> None:
        with replacing(destination) as new:
            shutil.copyfile(file, new)
        self._brief.add(destination)

    def _has(self, entry: FileEntry) -> bool:
        return _is_whole(self._file(entry.sha256), entry)

    def _file(self, digest: str) -> Path:
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise InputError(f"'{digest[:100]}' is no sha256")
        return self._files / digest


def _is_whole(file: Path, entry: FileEntry) -> bool:
    """As far as its size tells."""
    try:
        return file.stat().st_size == entry.size
    except OSError:
        return False
