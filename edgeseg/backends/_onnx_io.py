"""Inputs, outputs and node names of an ONNX file, read without the onnx package.

Reads just enough of the protobuf wire format (https://protobuf.dev/programming-guides/encoding);
field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edgeseg.core.bundle import TensorInfo
from edgeseg.errors import GraphError, UnsupportedOperator

_DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
}


class Node(NamedTuple):
    name: str
    operator: str


class Signature(NamedTuple):
    """What an engine made from the file takes and returns, and its nodes in order."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    nodes: tuple[Node, ...]


def read_signature(path: Path) -> Signature:
    """Read an ONNX file with static shapes.

    Raises:
        GraphError: not an ONNX file, truncated, or an input or output without a static shape.
    """
    try:
        with path.open("rb") as stream:
            model = memoryview(stream.read())
        graph = next(v for n, v in _fields(model) if n == 7 and isinstance(v, memoryview))
        parts = [(n, v) for n, v in _fields(graph) if isinstance(v, memoryview)]
        weights = {_text(v, 8) for n, v in parts if n == 5}
        nodes = tuple(Node(_text(v, 3), _text(v, 4)) for n, v in parts if n == 1)
        inputs = [v for n, v in parts if n == 11 and _text(v, 1) not in weights]
        outputs = [v for n, v in parts if n == 12]
    except FileNotFoundError:
        raise GraphError(f"{path} does not exist") from None
    except (StopIteration, ValueError, IndexError):
        raise GraphError(f"{path} is not an ONNX file, or it is truncated", hint="export it again") from None
    return Signature(tuple(_tensor(v, path) for v in inputs), tuple(_tensor(v, path) for v in outputs), nodes)


def unsupported(engine: str, operator: str, node: str, reason: str = "") -> UnsupportedOperator:
    """The error for an operator that an engine refuses."""
    detail = f": {reason}" if reason else ""
    return UnsupportedOperator(
        f"{engine} does not support the operator '{operator}' (node '{node}'){detail}",
        hint="replace the operator in the network, or choose another target",
    )


def _tensor(value: memoryview, path: Path) -> TensorInfo:
    name = _text(value, 1)
    tensor = _message(_message(value, 2), 1)
    kind = next((v for n, v in _fields(tensor) if n == 1), 0)
    dtype = _DTYPES.get(kind) if isinstance(kind, int) else None
    dims = [v for n, v in _fields(_message(tensor, 2)) if n == 1 and isinstance(v, memoryview)]
    shape = tuple(next((v for n, v in _fields(d) if n == 1 and isinstance(v, int)), 0) for d in dims)
    known = any(n == 2 for n, _ in _fields(tensor))
    if dtype is None or not known or 0 in shape:
        raise GraphError(
            f"{path}: '{name}' has the shape {list(shape)} and the ONNX type {kind}",
            expected="a static shape and a NumPy dtype; 0 marks a dynamic dimension",
            hint="fix dynamic dimensions with --input-size",
        )
    return TensorInfo(name, dtype, shape)


def _text(data: memoryview, field: int) -> str:
    return bytes(_message(data, field)).decode("utf-8")


def _message(data: memoryview, field: int) -> memoryview:
    return next((v for n, v in _fields(data) if n == field and isinstance(v, memoryview)), memoryview(b""))


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of one message: integers and length-delimited bytes; others are skipped."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
        elif wire in (1, 2, 5):
            size, at = _varint(data, at) if wire == 2 else (8 if wire == 1 else 4, at)
            if at + size > len(data):
                raise ValueError("truncated")
            if wire == 2:
                yield key >> 3, data[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {wire}")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
