"""Names that become files and folders: one rule, wherever such a name is read."""

from __future__ import annotations

from edgeseg.errors import InputError

LONGEST = 128
"""Bytes of a part of a path: file systems take 255, and a target and a suffix come behind it."""


class NameRefused(InputError, ValueError):
    """A ValueError too, so that msgspec refuses the document that the name stands in."""


def require_name(name: str, what: str) -> None:
    """Raise NameRefused unless `name` is one visible part of a path, which cannot leave its folder.

    Args:
        what: what the name is of, for the error.
    """
    if fault := _fault(name):
        raise NameRefused(f"{what} {name[:LONGEST]!r} {fault}", hint="give it another name")


def require_file_name(name: str, what: str) -> None:
    """Raise NameRefused unless `name` is a relative POSIX path that stays in its folder."""
    for part in name.split("/"):
        if fault := _fault(part):
            raise NameRefused(
                f"{what} {name[:LONGEST]!r} {fault}",
                expected="a file in the bundle, as in engine/model.xml",
                hint="do not use this bundle: edgeseg does not write such names",
            )


def require_files(**fields: str) -> None:
    """`require_file_name` for fields that name files of a bundle; those without a file are empty."""
    for field, name in fields.items():
        if name:
            require_file_name(name, f"{field} =")


def _fault(part: str) -> str:
    """What is wrong with one part of a path; empty when nothing is."""
    if not part:
        return "is empty or absolute"
    if part.startswith("."):
        return "begins with a dot: such names lead elsewhere, or are hidden"
    if "/" in part or "\\" in part:
        return "holds a slash or backslash: it could lead elsewhere"
    if not part.isprintable():
        return "holds characters that cannot be printed"
    if len(part.encode()) > LONGEST:
        return f"has more than {LONGEST} bytes"
    return ""
