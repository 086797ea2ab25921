"""Work in a folder while no other process does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeseg.core.documents import writable_folder
from edgeseg.core.locks import only_one
from edgeseg.errors import InputError


@contextmanager
def alone(folder: Path, what: str) -> Iterator[None]:
    """Work in `folder`, made if it is not there, while no other process does.

    Args:
        what: the work, as `predicts into`.

    Raises:
        InputError: another process does, or no files can be made there.
    """
    refusal = InputError(
        f"another process {what} {folder} at this moment",
        expected="one at a time",
        hint="wait until it is done, or choose another --output",
    )
    with only_one(writable_folder(folder) / ".lock", refusal=refusal):
        yield
