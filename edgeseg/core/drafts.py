"""Bundles being written: they appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from edgeseg.core.bundle import MANIFEST, Bundle, FileEntry, Manifest, file_sha256, sealed
from edgeseg.core.documents import encode
from edgeseg.core.whole import clear_leftovers, hidden_beside
from edgeseg.errors import BundleError, EdgesegError

NEW, OLD = "new", "old"
"""Where a draft lies, and the bundle it replaces, within its hidden folder."""
OCCUPIED = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


@contextmanager
def draft(destination: Path | str, *, overwrite: bool = False) -> Iterator[BundleDraft]:
    """Write a bundle that appears at `destination` whole or not at all.

    Files are written into a hidden folder beside `destination`; leaving the block after `finish()` renames
    it. An exception or a missing `finish()` leaves nothing behind. With `overwrite`, the old bundle is moved
    into that folder and the new one takes its place: a kill between the two leaves no bundle, and the next
    draft of the same destination brings the old one back.

    Raises:
        BundleError: `destination` is there, or appeared meanwhile, without `overwrite`; or is no bundle.
    """
    destination = Path(destination)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with hidden_beside(destination, lambda leftover: _rescue(leftover, destination)) as place:
            refuse_existing(destination, overwrite)
            result = BundleDraft(place / NEW)
            result.path.mkdir()
            yield result
            if result.manifest is None:
                return
            source = result.path / MANIFEST
            source.write_bytes(encode(result.manifest))
            for path in (source, *(result.path / name for name in result.manifest.files)):
                _flush(path)
            _publish(place, destination, overwrite)
    except OSError as fault:
        raise disk_error(destination, fault) from fault


def clear_drafts(destination: Path) -> None:
    """Remove what killed processes left beside a bundle, as the next draft would: one that was killed right
    behind its bundle's appearance may have no next draft."""
    clear_leftovers(destination, lambda leftover: _rescue(leftover, destination))


def _publish(place: Path, destination: Path, overwrite: bool) -> None:
    """Rename the draft to `destination`: what is there, and not empty, refuses by itself."""
    while True:
        try:
            (place / NEW).rename(destination)
        except OSError as fault:
            if fault.errno not in OCCUPIED:
                raise
        else:
            break
        refuse_existing(destination, overwrite)
        shutil.rmtree(place / OLD, ignore_errors=True)
        with suppress(FileNotFoundError):
            destination.rename(place / OLD)
    with suppress(FileNotFoundError):
        (place / OLD).rename(place / "replaced")  # it is not to come back


def _rescue(leftover: Path, destination: Path) -> None:
    """Bring back a bundle that a killed process had moved aside, without putting the new one in its place."""
    with suppress(OSError):
        (leftover / OLD).rename(destination)


class BundleDraft:
    """A bundle being written: put files into `path`, then call `finish`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: Manifest | None = None

    def finish(self, manifest: Manifest) -> None:
        """Hash every file in the folder and accept `manifest` with them."""
        files = {
            path.relative_to(self.path).as_posix(): FileEntry(path.stat().st_size, file_sha256(path))
            for path in sorted(self.path.rglob("*"))
            if path.is_file()
        }
        self.manifest = sealed(msgspec.structs.replace(manifest, files=files))

    def adopt(self) -> None:
        """Accept the bundle that was copied into the folder. Raises BundleError when it is not whole."""
        self.manifest = Bundle.open(self.path).manifest


def refuse_existing(destination: Path, overwrite: bool) -> None:
    """Raise BundleError where something lies at `destination` that no draft may replace."""
    if not os.path.lexists(destination):
        return
    if not (destination / MANIFEST).is_file():
        raise BundleError(f"{destination} exists and is not a bundle", hint="choose another --output")
    if not overwrite:
        raise BundleError(
            f"{destination} exists", hint="choose another --output, or replace it with --overwrite"
        )


def disk_error(destination: Path, fault: OSError) -> EdgesegError:
    """What a user is told when a bundle cannot be written."""
    reason = fault.strerror or str(fault)
    return BundleError(
        f"{destination} could not be written: {reason}",
        hint="free space or choose another --output; nothing was left behind",
    )


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
