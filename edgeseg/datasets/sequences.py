"""Which video an image comes from, where file names tell: its neighbouring frames are one observation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from edgeseg.errors import DataError

NameOf = Callable[[str], str]
"""Id of an image -> the video it comes from."""

KNOWN = (
    re.compile(r"(\d{4}[A-Z][A-Z0-9]|Seq\d\dVD)_f?\d+(?:\.\w+)?"),
    re.compile(r"([A-Za-z-]+_\d{6})_\d{6}(?:_leftImg8bit)?(?:\.\w+)?"),
)
"""CamVid: `0006R0_f00930`, `0016E5_07959`, `Seq05VD_f02400`. Cityscapes: city, sequence, frame."""


def known_sequences(ids: Iterable[str]) -> NameOf | None:
    """By the file names of a data set whose names tell; None where one of them does not follow it."""
    names = tuple(ids)
    fits = (pattern for pattern in KNOWN if names and all(map(pattern.fullmatch, names)))
    return next(map(_by, fits), None)


def stated_sequences(pattern: str, ids: Iterable[str], *, where: str) -> NameOf:
    """By a regular expression whose one group finds the video in an id.

    Raises:
        DataError: no such expression, or an id that it does not fit.
    """
    expected = (
        'a regular expression that fits the names of all images and has one group, such as "(.+)_[0-9]+"'
    )
    try:
        compiled = re.compile(pattern)
    except re.error as fault:
        raise DataError(f"{where}: sequences is {pattern!r}: {fault}", expected=expected) from None
    if compiled.groups != 1:
        raise DataError(f"{where}: sequences is {pattern!r}, {compiled.groups} groups", expected=expected)
    foreign = next((name for name in ids if not compiled.fullmatch(name)), None)
    if foreign is not None:
        raise DataError(
            f"{where}: sequences is {pattern!r}, which the image '{foreign}' does not fit", expected=expected
        )
    return _by(compiled)


def _by(pattern: re.Pattern[str]) -> NameOf:
    def name_of(identity: str) -> str:
        found = pattern.match(identity)
        return found[1] if found else identity

    return name_of
