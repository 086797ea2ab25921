"""Calibration lists: which images calibrate what, as a text file that is read and compared by eye.

    # dataset: camvid
    # split: train
    # made by: edgeseg calibrate select ...
    0001TP_006690  fc8030c0...

A line per image: its id, two spaces, the sha256 of its decoded pixels (`datasets/hashing.py`). Order counts.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import msgspec

from edgeseg.core.files import read_whole
from edgeseg.core.whole import replacing
from edgeseg.errors import DataError

_ENTRY = re.compile(r"(\S|\S.*\S)  ([0-9a-f]{64})")
_HEADER = re.compile(r"# ([a-z ]+): (.*)")
_EXPECTED = "its id, two spaces and the sha256 of its decoded pixels"
MOST_BYTES = 64 << 20


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One image: its id within the split, and the sha256 of its decoded pixels and their shape."""

    id: str
    sha256: str


class CalibrationList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Images of one split of one dataset, the most telling first where the strategy ranks them.

    Attributes:
        dataset: name of the layout, or of the folder or video the images come from.
        made_by: the command that wrote the file; empty if it was written by hand.
    """

    dataset: str
    split: str
    entries: tuple[Entry, ...]
    made_by: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(entry.id for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @classmethod
    def read(cls, path: Path) -> CalibrationList:
        """Raises DataError for a file that is missing, empty or no list, naming the line."""
        try:
            lines = read_whole(path, most=MOST_BYTES, error=DataError).decode("utf-8").splitlines()
        except (DataError, UnicodeDecodeError) as fault:
            raise DataError(
                f"the calibration list {path} cannot be read: {str(fault).splitlines()[0]}",
                hint="make one with `edgeseg calibrate select`",
            ) from None
        header: dict[str, str] = {}
        entries: list[Entry] = []
        for number, line in enumerate(lines, start=1):
            if line.startswith("#") and not entries:
                if match := _HEADER.fullmatch(line):
                    header[match[1]] = match[2]
            elif match := _ENTRY.fullmatch(line):
                entries.append(Entry(match[1], match[2]))
            elif line.strip():
                raise DataError(f"{path}, line {number}: '{line[:80]}' is no image", expected=_EXPECTED)
        _complete(path, header, entries)
        return cls(
            dataset=header["dataset"],
            split=header["split"],
            made_by=header.get("made by", ""),
            entries=tuple(entries),
        )

    def text(self) -> str:
        """The content of the file. Raises DataError for an id that a line cannot hold."""
        for name in self.ids:
            if not _ENTRY.fullmatch(f"{name}  {'0' * 64}") or name.startswith("#") or not name.isprintable():
                raise DataError(
                    f"the image id {name!r} does not fit into a list",
                    expected="one line that neither starts with # nor starts or ends with a space",
                    hint="rename the image",
                )
        made_by = f"# made by: {self.made_by}\n" if self.made_by else ""
        lines = (f"{entry.id}  {entry.sha256}\n" for entry in self.entries)
        return f"# dataset: {self.dataset}\n# split: {self.split}\n{made_by}" + "".join(lines)

    def write(self, path: Path, *, overwrite: bool = False) -> None:
        """The file appears whole or not at all.

        Raises:
            DataError: the file exists and `overwrite` is False, or cannot be written.
        """
        refuse_existing(path, overwrite=overwrite)
        text = self.text()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, overwrite=overwrite) as new:
                new.write_text(text, encoding="utf-8")
        except OSError as fault:
            if path.exists() and not overwrite:
                raise _exists(path) from None
            raise DataError(
                f"{path} could not be written: {fault.strerror or fault}",
                hint="free space or choose another --output; nothing was left behind",
            ) from fault


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise DataError when `path` is a folder, or there and not to be replaced."""
    if path.is_dir() or (path.exists() and not overwrite):
        raise _exists(path)


def _exists(path: Path) -> DataError:
    return DataError(f"{path} exists", hint="choose another --output, or replace a list with --overwrite")


def _complete(path: Path, header: dict[str, str], entries: list[Entry]) -> None:
    for word in ("dataset", "split"):
        if word not in header:
            raise DataError(
                f"the calibration list {path} does not tell its {word}",
                expected=f"a line `# {word}: NAME` at the top",
                hint="make the list with `edgeseg calibrate select`, or add the line",
            )
    if not entries:
        raise DataError(f"the calibration list {path} is empty", expected=f"a line per image: {_EXPECTED}")
    names = [entry.id for entry in entries]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"the calibration list {path} names '{twice}' twice", expected="each image once")
