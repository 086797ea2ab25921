"""What a host and a device say to each other: JSON lines, each with the bytes that belong to it behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import IO, NamedTuple

import msgspec
import numpy as np

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.ports import Array, Tensors
from edgeseg.errors import InputError

LONGEST_LINE = 1 << 28
MOST_BYTES = 1 << 32
"""Behind one line."""


class Message(NamedTuple):
    """
    Attributes:
        body: JSON.
        parts: bytes behind the line, in the order in which `body` speaks of them.
    """

    body: msgspec.Raw
    parts: list[bytes]


class _Line(msgspec.Struct):
    body: msgspec.Raw
    parts: list[int] = []


def write(stream: IO[bytes], body: object, parts: Sequence[bytes | memoryview] = ()) -> None:
    """One message, flushed. `body`: what msgspec writes as JSON."""
    send(stream, encode(body, parts), parts)


def encode(body: object, parts: Sequence[bytes | memoryview] = ()) -> bytes:
    """The line of a message."""
    line = _Line(msgspec.Raw(msgspec.json.encode(body)), [memoryview(part).nbytes for part in parts])
    return msgspec.json.encode(line) + b"\n"


def send(stream: IO[bytes], line: bytes, parts: Sequence[bytes | memoryview] = ()) -> None:
    stream.write(line)
    for part in parts:
        stream.write(part)
    stream.flush()


def read(stream: IO[bytes]) -> Message | None:
    """The next message; None at the end of the stream.

    Raises:
        InputError: something else, or a message that ends too early.
    """
    line = stream.readline(LONGEST_LINE)
    if not line:
        return None
    try:
        found = msgspec.json.decode(line, type=_Line)
        if min(found.parts, default=0) < 0 or sum(found.parts) > MOST_BYTES:
            raise ValueError(f"parts of {sum(found.parts)} bytes")
    except ValueError as fault:
        raise InputError(f"no message: {line[:200]!r} ({fault})", expected="a JSON line") from None
    parts = [stream.read(size) for size in found.parts]
    if [len(part) for part in parts] != found.parts:
        raise InputError("a message ended too early", hint="look at the connection")
    return Message(found.body, parts)


def arrays(parts: Mapping[str, Array]) -> tuple[tuple[TensorInfo, ...], list[memoryview]]:
    """Arrays as what tells of them, and their bytes."""
    infos = tuple(TensorInfo(name, array.dtype.name, array.shape) for name, array in parts.items())
    flat = (np.ascontiguousarray(array).reshape(-1) for array in parts.values())
    return infos, [array.view(np.uint8).data for array in flat]


def as_arrays(infos: Sequence[TensorInfo], parts: Sequence[bytes]) -> Tensors:
    """The reverse of `arrays`. Raises InputError when they do not fit."""
    return dict(_each(infos, parts))


def _each(infos: Sequence[TensorInfo], parts: Sequence[bytes]) -> Iterator[tuple[str, Array]]:
    if len(infos) != len(parts):
        raise InputError(f"{len(parts)} parts came for {len(infos)} arrays")
    for info, part in zip(infos, parts):
        try:
            yield info.name, np.frombuffer(part, info.dtype).reshape(info.shape)
        except (TypeError, ValueError) as fault:
            raise InputError(f"the array '{info.name}' did not come whole: {fault}") from None
