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
    """Kept in the cache of a device; what nobody used for long goes when it is opened.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._files, self._folders = folder / "files", folder / "folders"
        for place in (self._files, self._folders):
            place.mkdir(parents=True, exist_ok=True)
            forget_unused(place)
        self._arriving = Scratch()

    def missing(self, digests: Iterable[str]) -> tuple[str, ...]:
        """Those of these sha256 that no file here has."""
        return tuple(digest for digest in dict.fromkeys(digests) if not self._file(digest).is_file())

    def put(self, digest: str, part: bytes, *, last: bool) -> None:
        """The next part of a file. Raises InputError when what came is not what was announced."""
        destination = self._file(digest)
        arriving = self._arriving.path / digest
        with arriving.open("ab") as stream:
            stream.write(part)
        if last:
            try:
                self._keep(arriving, destination)
            finally:
                arriving.unlink()

    def add(self, file: Path) -> FileEntry:
        """Take a copy of a file of this device."""
        entry = FileEntry(file.stat().st_size, file_sha256(file))
        if self.missing([entry.sha256]):
            with replacing(self._file(entry.sha256)) as new:
                shutil.copyfile(file, new)
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

    def folder(self, files: Files) -> Path:
        """A folder that holds these files, which are all here. Nobody may write in it.

        Raises:
            InputError: names that lead elsewhere, or a file that never came.
        """
        for name in files:
            require_file_name(name, "the file")
        if absent := self.missing(entry.sha256 for entry in files.values()):
            raise InputError(f"the device was never sent {', '.join(absent)}")
        listing = msgspec.json.encode(files, order="deterministic")
        place = self._folders / hashlib.sha256(listing).hexdigest()
        for entry in files.values():
            use(self._file(entry.sha256))
        if not place.is_dir():
            with appearing(place) as new:
                self._link(files, new)
        use(place)
        return place

    def _link(self, files: Files, folder: Path) -> None:
        for name, entry in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(self._file(entry.sha256), folder / name)
            except OSError:  # a file system without links
                shutil.copyfile(self._file(entry.sha256), folder / name)

    def _keep(self, file: Path, destination: Path) -> None:
        came = file_sha256(file)
        if came != destination.name:
            raise InputError(
                f"a file came as {came}", expected=destination.name, hint="look at the connection"
            )
        with replacing(destination) as new:
            shutil.copyfile(file, new)

    def close(self) -> None:
        self._arriving.close()

    def _file(self, digest: str) -> Path:
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise InputError(f"'{digest[:100]}' is no sha256")
        return self._files / digest
