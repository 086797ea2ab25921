"""Checkpoints that cannot be used, for the network of the material."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch

from fuzzing.case import ANY, Bad, content, cut, flipped, void

State = dict[str, Any]


class Touch:
    """A pickle that would make a file where it is opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("executed",))


def _saved(value: object, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def _itself(state: State) -> State:
    state["me"] = state
    return {"a": state, "b": state}


def _many(state: State) -> State:
    inner: State = dict(state)
    for _ in range(40):
        inner = {f"{i}x": inner for i in range(4)}
    return inner


def _with(state: State, value: Any) -> State:
    return {**state, next(iter(state)): value}


def _quantised(weight: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)


def _header(header: bytes, length: int | None = None, body: bytes = b"") -> Bad:
    return content(struct.pack("<Q", len(header) if length is None else length) + header + body)


def _zip(change: Callable[[str, bytes], bytes | None], whole: bytes) -> Bad:
    def write(path: Path, _: Random) -> None:
        with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                if (found := change(name, old.read(name))) is not None:
                    new.writestr(name, found)

    return write


def torch_files(state: State) -> dict[str, Bad]:
    first = next(iter(state.values()))
    zipped, legacy = _saved(state), _saved(state, _use_new_zipfile_serialization=False)
    values: dict[str, Any] = {
        "a list": [1, 2, 3],
        "a tensor": first,
        "a text": "weights",
        "an empty dict": {},
        "numbers for names": dict(enumerate(state.values())),
        "no tensors": {"epoch": 3, "lr": 0.1},
        "itself inside": _itself(dict(state)),
        "the same over and over": _many(state),
        "an expanded tensor": _with(state, torch.zeros(1).expand(10**6, 10**6)),
        "a view of a small storage": _with(state, torch.zeros(1).as_strided((2**40,), (0,))),
        "a sparse tensor": _with(state, torch.zeros(8, 3, 3, 3).to_sparse()),
        "a complex tensor": _with(state, torch.zeros(8, 3, 3, 3, dtype=torch.complex64)),
        "a quantised tensor": _with(state, _quantised(first)),
        "a tensor on no device": _with(state, torch.zeros(8, 3, 3, 3, device="meta")),
        "no numbers": _with(state, first * float("nan")),
        "infinite numbers": _with(state, first * float("inf")),
        "integers": _with(state, torch.zeros(first.shape, dtype=torch.int64)),
        "another shape": _with(state, torch.zeros(8, 3, 5, 5)),
        "no axis": _with(state, torch.tensor(1.0)),
        "an empty tensor": _with(state, torch.zeros(0)),
        "another network": {"conv.weight": torch.zeros(4, 3)},
        "a key less": dict(list(state.items())[1:]),
        "a key more": {**state, "more.weight": first},
        "strange keys": {**state, "a\0b": first, "\udcff": first, "": first},
    }
    return {
        **ANY,
        **{name: content(_saved(value)) for name, value in values.items()},
        "cut": cut(zipped),
        "flipped": flipped(zipped),
        "cut legacy": cut(legacy),
        "flipped legacy": flipped(legacy, 3),
        "code": content(pickle.dumps({"state_dict": Touch()})),
        "code in a zip": _zip(lambda n, d: pickle.dumps(Touch()) if n.endswith("data.pkl") else d, zipped),
        "a zip without data": _zip(lambda n, d: None if n.endswith("data.pkl") else d, zipped),
        "a zip with short data": _zip(lambda n, d: d[:3] if "/data/" in n else d, zipped),
        "a network, not its weights": content(_saved(torch.nn.Conv2d(3, 2, 1))),
        "nested lists": content(pickle.dumps(None)[:2] + b"]" * 200_000 + b"a" * 199_999 + b"."),
    }


def safetensors_files(state: State) -> dict[str, Bad]:
    from safetensors.torch import save

    whole = save(state)
    entry = {"dtype": "F32", "shape": [8, 3, 3, 3], "data_offsets": [0, 864]}

    def one(**changes: Any) -> Bad:
        return _header(json.dumps({"0.weight": entry | changes}).encode(), body=bytes(864))

    return {
        "cut": cut(whole),
        "flipped": flipped(whole, 3),
        "an absurd header": _header(b"{}", 2**62),
        "brackets": _header(b'{"a":' + b"[" * 100_000),
        "digits": _header(b'{"a": ' + b"9" * 5_000 + b"}"),
        "an absurd shape": one(shape=[2**40, 2**40]),
        "another shape": one(shape=[8, 3, 3, 4]),
        "a negative shape": one(shape=[-8, 3, 3, 3]),
        "an unknown type": one(dtype="F31"),
        "offsets outside": one(data_offsets=[0, 10**9]),
        "offsets that run backwards": one(data_offsets=[864, 0]),
        "a torch file": content(_saved(state)),
        "no UTF-8": _header(b'{"\xff\xfe": 1}'),
    }


def write_torch(path: Path, state: State) -> None:
    void(path.write_bytes(_saved(state)))
