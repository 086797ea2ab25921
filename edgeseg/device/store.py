"""Files by what they hold: a host sends a file once, whatever it is called in however many bundles."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from edgeseg.core.bundle import FileEntry, file_sha256
from edgeseg.core.cache import forget_unused, use
from edgeseg.core.names import require_file_name
from edgeseg.core.whole import Scratch, appearing, replacing
from edgeseg.errors import InputError

Files = dict[str, FileEntry]
"""The files of a folder by their names in it."""
PART_BYTES = 8 << 20
"""A file travels in parts of this size."""


class Store:
    """What was sent to one agent, for its time alone; bundles stay in the cache of the device until nobody
    used them for long.

    Args:
        folder: of the bundles; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._lasting = folder
        for place in (folder / "files", folder / "folders"):
            place.mkdir(parents=True, exist_ok=True)
            forget_unused(place)
        self._scratch = Scratch()
        self._own = self._scratch.path
        for name in ("arriving", "files", "folders"):
            (self._own / name).mkdir()

    def missing(self, files: Iterable[FileEntry]) -> tuple[str, ...]:
        """The sha256 of those that are not here."""
        return tuple({entry.sha256: None for entry in files if self._found(entry) is None})

    def put(self, digest: str, part: bytes, *, last: bool) -> None:
        """The next part of a file. Raises InputError when what came is not what was announced."""
        arriving = self._own / "arriving" / _checked(digest)
        try:
            with arriving.open("ab") as stream:
                stream.write(part)
            if last and (came := file_sha256(arriving)) != digest:
                raise InputError(f"a file came as {came}", expected=digest, hint="look at the connection")
        except BaseException:
            arriving.unlink(missing_ok=True)
            raise
        if last:
            shutil.move(arriving, self._own / "files" / digest)

    def add_folder(self, folder: Path) -> Files:
        """Take copies of the files of a folder of this device."""
        return {
            file.relative_to(folder).as_posix(): self._add(file)
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }

    def get(self, entry: FileEntry, start: int) -> bytes:
        """At most PART_BYTES of a file. Raises InputError when it is not here."""
        with self._require(entry).open("rb") as stream:
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
        listing = msgspec.json.encode(files, order="deterministic")
        root = self._lasting if lasting else self._own
        place = root / "folders" / hashlib.sha256(listing).hexdigest()
        if lasting:
            for entry in files.values():
                self._keep(entry)
        if not all(_is_whole(place / name, entry) for name, entry in files.items()):
            shutil.rmtree(place, ignore_errors=True)
            with appearing(place) as new:
                self._link(files, new)
        use(place)
        return place

    def close(self) -> None:
        self._scratch.close()

    def _add(self, file: Path) -> FileEntry:
        entry = FileEntry(file.stat().st_size, file_sha256(file))
        if self._found(entry) is None:
            shutil.copyfile(file, self._own / "files" / entry.sha256)
        return entry

    def _keep(self, entry: FileEntry) -> None:
        """Let a file outlive this agent."""
        found, kept = self._require(entry), self._lasting / "files" / entry.sha256
        if found != kept:
            with replacing(kept) as new:
                shutil.copyfile(found, new)
        use(kept)

    def _link(self, files: Files, folder: Path) -> None:
        for name, entry in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            found = self._require(entry)
            try:
                os.link(found, folder / name)
            except OSError:  # another file system, or one without links
                shutil.copyfile(found, folder / name)

    def _require(self, entry: FileEntry) -> Path:
        found = self._found(entry)
        if found is None:
            raise InputError(f"the device was never sent {entry.sha256}")
        return found

    def _found(self, entry: FileEntry) -> Path | None:
        """A bundle's file rather than that of this agent."""
        places = (root / "files" / _checked(entry.sha256) for root in (self._lasting, self._own))
        return next((place for place in places if _is_whole(place, entry)), None)


def _checked(digest: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise InputError(f"'{digest[:100]}' is no sha256")
    return digest


def _is_whole(file: Path, entry: FileEntry) -> bool:
    """As far as its size tells."""
    try:
        return file.stat().st_size == entry.size
    except OSError:
        return False
