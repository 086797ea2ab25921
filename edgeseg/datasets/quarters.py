"""Labelled images in one folder: every fourth validates, the others are learnt from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

EVERY = 4
TRAIN, VALIDATION, ALL = "train", "val", "all"


def quarter_names(count: int) -> tuple[str, ...]:
    """The splits of so many images: one alone cannot be parted."""
    return (TRAIN, VALIDATION, ALL) if count > 1 else (ALL,)


def quartered(ids: Iterable[str], split: str) -> tuple[str, ...]:
    """The ids of a split.

    >>> quartered("abcdefgh", "val"), quartered("abcdefgh", "train"), quartered("ab", "val")
    (('d', 'h'), ('a', 'b', 'c', 'e', 'f', 'g'), ('b',))
    """
    names: Sequence[str] = tuple(ids)
    last = min(EVERY, len(names)) - 1
    return tuple(
        name
        for place, name in enumerate(names)
        if split == ALL or (place % EVERY == last) == (split == VALIDATION)
    )
