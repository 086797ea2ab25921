"""Scores of the frames that share a tag: night, one camera, rain."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeseg.core.files import read_whole
from edgeseg.errors import DataError
from edgeseg.evaluation.scoring import Tally
from edgeseg.evaluation.verification import Slice

MOST_BYTES = 64 << 20
IMAGE = "image"
"""The first column of a file of tags."""
EXPECTED = f"a CSV file whose first line is '{IMAGE}' and the names of tags, as in image,light,camera"


def read_tags(path: Path, ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The frames of each tag, as their positions in `ids`: `light=night`, in the order of the file.

    The file has a line per image: its id, then a value for each tag, or nothing. Lines of other images are
    passed over.

    Raises:
        DataError: no such file, no such columns, a line with another number of values, an image that comes
            twice, or no line for any of `ids`.
    """
    try:
        text = read_whole(path, most=MOST_BYTES, error=DataError).decode("utf-8-sig")
        rows = [row for row in csv.reader(text.splitlines(), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as fault:
        raise DataError(f"{path} cannot be read: {fault}", expected=EXPECTED) from None
    names = [name.strip() for name in rows[0]] if rows else []
    if len(names) < 2 or names[0] != IMAGE or "" in names:
        raise DataError(f"{path} begins with {','.join(names)[:200]!r}", expected=EXPECTED)
    places = {identity: place for place, identity in enumerate(ids)}
    found: dict[str, list[int]] = {}
    seen: set[str] = set()
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(names) or row[0] in seen:
            wrong = "comes twice" if row[0] in seen else f"has {len(row)} values"
            where = f"{path}, entry {number} ({row[0][:100]})"
            raise DataError(f"{where} {wrong}", expected=f"{len(names)} values, each image once")
        seen.add(row[0])
        for name, value in zip(names[1:], row[1:]):
            if value.strip() and row[0] in places:
                found.setdefault(f"{name}={value.strip()}", []).append(places[row[0]])
    if not found:
        raise DataError(
            f"{path} has no tag for any of the {len(ids)} images that are scored",
            expected=f"ids such as {ids[0] if ids else ''}",
        )
    return {tag: tuple(frames) for tag, frames in found.items()}


def slices(
    reference: Tally,
    engine: Tally,
    sequences: Sequence[str],
    tags: Mapping[str, Sequence[int]],
) -> dict[str, Slice]:
    """What the engine scores and loses on the frames of each tag alone."""
    found = {}
    for tag, frames in tags.items():
        drop, _ = reference.drops(engine, sequences, frames)
        found[tag] = Slice(
            frames=len(frames), value=engine.value(frames), fp32=reference.value(frames), drop=drop
        )
    return found
