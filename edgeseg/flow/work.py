"""Bundles of a run, found again by key: what a killed run finished is not done twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from edgeseg.core.bundle import Bundle, BundleDraft, Manifest, Parent, StepRecord, draft
from edgeseg.core.cache import use
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
) -> Bundle:
    """The bundle at `destination` if it has this key, else a new one written by `make`.

    Args:
        again: write it in any case, where the key cannot know all that goes in. If the same comes out, the
            bundle keeps its id, and what was made of it stays usable.
    """
    found = reusable(destination, key)
    if found is not None and not again:
        use(found.path)
        return found
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
    return Bundle.open(destination, check_files=False)


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
    return found if found.manifest.step.key == key else None


def emptied(folder: Path) -> Path:
    """`folder`, new and empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
