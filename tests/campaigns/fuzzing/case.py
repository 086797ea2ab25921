"""One bad input: the command line, and what its refusal must name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Case:
    """
    Attributes:
        words: the command line, without `edgeseg`.
        given: a refusal names one of them.
        env: variables to set; None: to remove.
        closed: streams (1, 2) that are closed when the command starts.
    """

    words: tuple[str | bytes, ...]
    given: tuple[str, ...]
    env: Mapping[str, str | None] = field(default_factory=dict)
    closed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a case is made.

    Attributes:
        folder: of this case, empty; the command runs in it.
        material: good inputs, made once, never changed.
    """

    folder: Path
    material: Path
    random: Random

    def copy(self, name: str, to: str = "") -> Path:
        """A copy of a file or folder of the material."""
        source, target = self.material / name, self.folder / (to or Path(name).name)
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
        return target


Make = Callable[[Place], Case]
Bad = Callable[[Path, Random], None]
"""Writes a bad file of one format to a path."""


def content(data: bytes | str) -> Bad:
    """A file with this content."""
    raw = data.encode() if isinstance(data, str) else data
    return lambda path, _: void(path.write_bytes(raw))


def void(_: object) -> None:
    """Nothing, for a lambda."""


def _pipe(path: Path, _: Random) -> None:
    os.mkfifo(path)


def _device(path: Path, _: Random) -> None:
    path.symlink_to("/dev/zero")


def _loop(path: Path, _: Random) -> None:
    path.symlink_to(path.name)


def _nowhere(path: Path, _: Random) -> None:
    path.symlink_to("nowhere")


def _folder(path: Path, _: Random) -> None:
    path.mkdir()


def _missing(path: Path, _: Random) -> None:
    """Nothing is there."""


ANY: dict[str, Bad] = {
    "missing": _missing,
    "a folder": _folder,
    "a pipe": _pipe,
    "a device": _device,
    "a link to itself": _loop,
    "a link to nowhere": _nowhere,
    "empty": content(b""),
    "one byte": content(b"\0"),
    "zeros": content(bytes(4096)),
    "noise": lambda path, random: void(path.write_bytes(random.randbytes(5000))),
    "a web page": content(b"<!DOCTYPE html><html><body>Sign in</body></html>"),
    "a Git LFS pointer": content(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
}
"""Bad files of every format."""


def cut(whole: bytes) -> Bad:
    """A good file that ends too early."""
    return lambda path, random: void(path.write_bytes(whole[: random.randrange(1, len(whole))]))


def flipped(whole: bytes, bytes_: int = 8) -> Bad:
    """A good file with some bytes changed."""

    def write(path: Path, random: Random) -> None:
        changed = bytearray(whole)
        for _ in range(bytes_):
            changed[random.randrange(len(changed))] ^= random.randrange(1, 256)
        path.write_bytes(changed)

    return write
