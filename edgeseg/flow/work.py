"""Bundles of a run, found again by key: what a killed run finished is not done twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from edgeseg.core.bundle import Bundle, Manifest, Parent, StepRecord
from edgeseg.core.cache import use
from edgeseg.core.drafts import BundleDraft, clear_drafts, disk_error, draft
from edgeseg.core.locks import only_one
from edgeseg.core.ports import Progress, silent
from edgeseg.errors import BundleError

Make = Callable[[BundleDraft], Manifest]


def made(
    destination: Path,
    make: Make,
    *,
    key: str,
    settings: dict[str, object],
    parent: Bundle | None = None,
    overwrite: bool = True,
    again: bool = False,
    progress: Progress = silent,
) -> Bundle:
    """The bundle at `destination` if it has this key, else a new one written by `make`.

    Of several processes that want it one makes it, the others wait for that.

    Args:
        again: make it in any case, where the key cannot know all that goes in. If the same comes out, the
            bundle stays as it is, and what was made of it stays usable.
    """
    found = None if again else reusable(destination, key)
    if found is not None:
        clear_drafts(destination)
        return found
    lock = destination.with_name(f".{destination.name}.lock")
    try:
        with only_one(
            lock, waiting=lambda: progress(f"waiting for another process that makes {destination}")
        ):
            found = reusable(destination, key)
            if found is None or again:
                _make(destination, make, key, settings, parent, overwrite, found)
    except OSError as fault:
        raise disk_error(destination, fault) from fault
    return found if found and not again else Bundle.open(destination, check_files=False)


def _make(
    destination: Path,
    make: Make,
    key: str,
    settings: dict[str, object],
    parent: Bundle | None,
    overwrite: bool,
    found: Bundle | None,
) -> None:
    created = found.manifest.created if found else datetime.now(timezone.utc).isoformat(timespec="seconds")
    with draft(destination, overwrite=overwrite) as work:
        manifest = make(work)
        work.finish(
            msgspec.structs.replace(
                manifest,
                parent=lineage(parent),
                step=StepRecord(name=manifest.step.name, settings=settings, key=key),
                created=created,
            )
        )
        if found is not None and work.manifest == found.manifest:
            work.manifest = None


def lineage(parent: Bundle | None) -> Parent | None:
    return parent.as_parent() if parent else None


def reusable(destination: Path, key: str) -> Bundle | None:
    """The bundle at `destination` if it is whole and has this key."""
    if not destination.exists():
        return None
    try:
        found = Bundle.open(destination)
    except BundleError:
        return None
    if found.manifest.step.key != key:
        return None
    use(found.path)
    return found
