"""An engine that runs nothing: measures the harness, and lets the whole stack run without an engine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np

import edgeseg
from edgeseg.backends._onnx_io import read_signature
from edgeseg.core.bundle import EngineRecord, Hardware, TensorInfo
from edgeseg.core.documents import encode, read_json
from edgeseg.core.int8 import Scheme
from edgeseg.core.ports import (
    Array,
    Availability,
    Backend,
    BuildSettings,
    Built,
    GraphPreferences,
    Layer,
    NoOptions,
    OpenSettings,
    Progress,
    Tensors,
    as_inputs,
    silent,
)
from edgeseg.core.target import Target
from edgeseg.errors import BundleError

NAMES = ("null",)
PRECISIONS = ("fp32",)

ENTRY = "engine.json"


class _Shapes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int = 1
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


class NullBackend:
    options: type[msgspec.Struct] = NoOptions
    int8: Scheme | None = None
    graph = GraphPreferences(opset=18, precision="hint")
    computes = False

    def targets(self) -> tuple[str, ...]:
        return ("null-fp32",)

    def availability(self, target: Target) -> Availability:
        return Availability(build=True, run=True, version=edgeseg.__version__, device="none")

    def build(
        self, graph: Path, target: Target, folder: Path, settings: BuildSettings, progress: Progress = silent
    ) -> Built:
        """Write the graph's signature as JSON. Raises GraphError for a file that is not static ONNX."""
        signature = read_signature(graph)
        (folder / ENTRY).write_bytes(encode(_Shapes(inputs=signature.inputs, outputs=signature.outputs)))
        return Built(
            entry=ENTRY,
            engine_version=edgeseg.__version__,
            hardware=Hardware(),
            inputs=signature.inputs,
            outputs=signature.outputs,
            notes=("the null engine returns zeros: its class maps mean nothing",),
        )

    def open(self, entry: Path, record: EngineRecord, settings: OpenSettings) -> NullEngine:
        shapes = read_json(entry, _Shapes, error=BundleError)
        return NullEngine(shapes.inputs, shapes.outputs)


class NullEngine:
    def __init__(self, inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...]) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.threads = 1
        self.notes: tuple[str, ...] = ()

    def request(self) -> NullRequest:
        return NullRequest(self.inputs, self.outputs)

    def layers(self) -> tuple[Layer, ...]:
        return ()

    def close(self) -> None:
        """Nothing is held."""


class NullRequest:
    """Checks and copies inputs like any engine, so that copies are part of what the harness costs."""

    def __init__(self, inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...]) -> None:
        self._infos = inputs
        self._inputs = {info.name: np.zeros(info.shape, info.dtype) for info in inputs}
        self._outputs = {info.name: np.zeros(info.shape, info.dtype) for info in outputs}

    def write(self, inputs: Tensors) -> None:
        for name, array in as_inputs(inputs, self._infos):
            np.copyto(self._inputs[name], array)

    def execute(self) -> float:
        start = time.perf_counter()
        return (time.perf_counter() - start) * 1e3

    def read(self) -> dict[str, Array]:
        return dict(self._outputs)


def backend(name: str) -> Backend:
    return NullBackend()
