"""Bundles whose files match their hashes and cannot be used: the writer of bundles finishes them."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
from onnx import ModelProto

from edgeseg.core.bundle import Bundle
from edgeseg.core.drafts import draft
from fuzzing.case import flipped, void

Change = Callable[[Path, Bundle, Random], object]


def rewritten(source: Path, destination: Path, change: Change, random: Random) -> Path:
    """A copy of a bundle with changed files, hashed anew."""
    bundle = Bundle.open(source)
    with draft(destination) as work:
        for name in bundle.manifest.files:
            (work.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, work.path / name)
        change(work.path, bundle, random)
        work.finish(bundle.manifest)
    return destination


def _golden(change: Callable[[dict[str, np.ndarray]], object]) -> Change:
    def write(folder: Path, bundle: Bundle, _: Random) -> None:
        assert bundle.manifest.golden is not None
        file = folder / bundle.manifest.golden.file
        with np.load(file) as stored:
            arrays = dict(stored)
        change(arrays)
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        file.write_bytes(stream.getvalue())

    return write


def _replaced(which: Callable[[Bundle], str], data: bytes | None) -> Change:
    def write(folder: Path, bundle: Bundle, random: Random) -> None:
        file = folder / which(bundle)
        whole = file.read_bytes()
        cut = whole[: random.randrange(1, len(whole))]
        void(file.write_bytes(cut if data is None else data))

    return write


def _flip(which: Callable[[Bundle], str]) -> Change:
    def write(folder: Path, bundle: Bundle, random: Random) -> None:
        file = folder / which(bundle)
        flipped(file.read_bytes())(file, random)

    return write


def _graph(change: Callable[[ModelProto], object]) -> Change:
    """Of the engine's file, where it is ONNX, and of the deploy graph."""

    def write(folder: Path, bundle: Bundle, _: Random) -> None:
        for name in {bundle.engine.entry, bundle.engine.graph}:
            if name.endswith(".onnx"):
                model = ModelProto.FromString((folder / name).read_bytes())
                change(model)
                (folder / name).write_bytes(model.SerializeToString())

    return write


def _text(old: str, new: str) -> Change:
    """Of a file of text that the engine is opened from."""

    def write(folder: Path, bundle: Bundle, _: Random) -> None:
        file = folder / bundle.engine.entry
        if file.suffix in (".xml", ".json"):
            file.write_text(re.sub(old, new, file.read_text(), count=1))
        else:
            file.write_bytes(b"")

    return write


def _entry(bundle: Bundle) -> str:
    return bundle.engine.entry or bundle.engine.graph


def _weights(bundle: Bundle) -> str:
    return next((n for n in bundle.manifest.files if n.endswith(".bin")), _entry(bundle))


def _golden_file(bundle: Bundle) -> str:
    assert bundle.manifest.golden is not None
    return bundle.manifest.golden.file


ENGINES: dict[str, Change] = {
    "an empty engine": _replaced(_entry, b""),
    "an engine of one byte": _replaced(_entry, b"\0"),
    "an engine of zeros": _replaced(_entry, bytes(10_000)),
    "an engine of text": _replaced(_entry, b"not an engine\n"),
    "a cut engine": _replaced(_entry, None),
    "a flipped engine": _flip(_entry),
    "empty weights": _replaced(_weights, b""),
    "cut weights": _replaced(_weights, None),
    "an engine of brackets": _replaced(_entry, b"[" * 100_000),
    "an engine of XML alone": _replaced(_entry, b'<?xml version="1.0"?><net name="x" version="11"></net>'),
    "an engine of JSON alone": _replaced(_entry, b'{"schema_version": 1, "inputs": [], "outputs": []}'),
    "tags without end": _text("</layers>", ""),
    "an absurd shape": _text(r"<dim>\d+</dim>|\b64\b", "<dim>99999999999</dim>"),
    "another type": _text("uint8|u8", "f31"),
    "an operator less": _graph(lambda m: m.graph.node.__delitem__(0)),
    "no outputs": _graph(lambda m: m.graph.ClearField("output")),
    "other inputs": _graph(lambda m: setattr(m.graph.input[0], "name", "pixels")),
    "an absurd input": _graph(
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 10**9)
    ),
    "an empty golden file": _replaced(_golden_file, b""),
    "a cut golden file": _replaced(_golden_file, None),
    "a flipped golden file": _flip(_golden_file),
    "golden frames less": _golden(lambda a: a.pop("frames")),
    "golden frames of another size": _golden(lambda a: a.update(frames=a["frames"][:, :8])),
    "golden frames of floats": _golden(lambda a: a.update(frames=a["frames"].astype(np.float64))),
    "golden text": _golden(lambda a: a.update(class_map=np.array("x"))),
    "other golden masks": _golden(
        lambda a: a.update(class_map=1 - a["class_map"], **{"stored/class_map": 1 - a["stored/class_map"]})
    ),
    "a cut graph": _replaced(lambda b: b.engine.graph, None),
    "an empty graph": _replaced(lambda b: b.engine.graph, b""),
    "a flipped graph": _flip(lambda b: b.engine.graph),
}
