"""The contracts of plug-ins that live in the device zone: backends, engines and requests.

Contracts of models, datasets and steps stand in the `__init__.py` of their folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseg.core.bundle import EngineRecord, Hardware, TensorInfo
from edgeseg.core.int8 import Scheme
from edgeseg.core.measurement import PairedRatio
from edgeseg.core.target import Target
from edgeseg.errors import InputError

Array = NDArray[Any]
Tensors = Mapping[str, Array]


class Progress(Protocol):
    """Called by long work: what is going on, how much is done, how much there is (0: unknown)."""

    def __call__(self, message: str, done: int = 0, total: int = 0) -> None: ...


def silent(message: str, done: int = 0, total: int = 0) -> None:
    """A Progress that says nothing."""


class Availability(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend can do on this machine for one target.

    Attributes:
        build: an engine can be made here; `run`: it can be executed here.
        version: of the engine's package; empty when it is not installed.
        reason: why it cannot build or run; `fix`: what to install or attach.
    """

    build: bool
    run: bool
    version: str = ""
    device: str = ""
    reason: str = ""
    fix: str = ""


class NoOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of an engine whose builder has none."""


class BuildSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        cache: folder for timing and kernel caches; None: no cache.
        options: of the engine's builder: fields of `Backend.options`.
    """

    cache: Path | None = None
    options: dict[str, str | int | float | bool] = {}


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What `Backend.build` made in its folder.

    Attributes:
        entry: file name to open the engine from.
        notes: what the user should know.
    """

    entry: str
    engine_version: str
    hardware: Hardware
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    settings: dict[str, str | int | float | bool] = {}
    notes: tuple[str, ...] = ()


class OpenSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        streams: requests that will run at the same time.
        cache: folder for compiled models; None: no cache. May be read-only.
        profile: collect time per layer (slower).
        lasting: it will run again and again; else for a few runs, which may be slower and take less memory.
    """

    streams: int = 1
    cache: Path | None = None
    profile: bool = False
    lasting: bool = True


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of a built engine.

    Attributes:
        precision: as the engine names it; empty where it does not tell.
        milliseconds: of the last profiled run; None without profiling.
        nodes: names of the graph's nodes that were fused into it, or of the tensors they make; empty where
            the engine does not tell.
    """

    name: str
    kind: str
    precision: str = ""
    milliseconds: float | None = None
    nodes: tuple[str, ...] = ()


class Request(Protocol):
    """One inference at a time, with its own input and output memory."""

    def write(self, inputs: Tensors) -> None:
        """Copy inputs to where the engine reads them. C-contiguous arrays of the stated dtype and shape."""

    def execute(self) -> float:
        """Run once on what was written and wait. Returns device milliseconds."""
        ...

    def read(self) -> dict[str, Array]:
        """The outputs of the last run, where they lie on the host: the next run overwrites them."""
        ...


class Engine(Protocol):
    """An engine that is ready to run."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    threads: int
    notes: tuple[str, ...]

    def request(self) -> Request:
        """A new request. Requests may run in different threads at the same time."""
        ...

    def layers(self) -> tuple[Layer, ...]:
        """The layers as executed, with times after a run with `profile`; empty if not told."""
        ...

    def close(self) -> None: ...


class GraphPreferences(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an engine wants of the graph it is built from.

    Attributes:
        opset: the newest ONNX opset its parser reads well.
        precision: `stated`: half precision is baked into the graph. `hint`: the graph is float32 and the
            engine chooses by the target.
        rewrites: names in `graph.engine_graph.REWRITES` that it needs or is faster with, in this order.
        wide_frames: it takes frames of uint16; where not, the graph takes their bytes.
    """

    opset: int
    precision: Literal["stated", "hint"] = "stated"
    rewrites: tuple[str, ...] = ()
    wide_frames: bool = True


class Backend(Protocol):
    """One inference engine. `backend()` in a file of `edgeseg/backends/` returns it.

    Attributes:
        graph: what it wants of the graph.
        computes: False for an engine whose outputs mean nothing (`null`).
        int8: how it wants Q/DQ pairs; None: it has no int8.
        options: a msgspec struct of what its builder can be told, with defaults.
    """

    options: type[msgspec.Struct]

    int8: Scheme | None
    graph: GraphPreferences
    computes: bool

    def targets(self) -> tuple[str, ...]:
        """Targets to list, as text."""
        ...

    def availability(self, target: Target) -> Availability:
        """What can be done here, and why not the rest.

        Raises:
            TargetError: hardware that this engine does not know, here or elsewhere.
        """
        ...

    def build(
        self, graph: Path, target: Target, folder: Path, settings: BuildSettings, progress: Progress = silent
    ) -> Built:
        """Make an engine from a typed ONNX file, writing its files into `folder`.

        Raises:
            UnsupportedOperator: names the operator and the node.
            TargetError: precision or hardware this engine does not have.
            MissingDependency, MissingDevice.
        """
        ...

    def open(self, entry: Path, record: EngineRecord, settings: OpenSettings) -> Engine:
        """Load a built engine.

        Raises:
            EngineMismatch: built for another GPU or engine version; both are named.
            MissingDependency, MissingDevice.
        """
        ...


@runtime_checkable
class ChecksOperators(Protocol):
    """A backend that tells which operators its engine does not have, without building one."""

    def check(self, graph: Path, target: Target) -> None:
        """Read a typed ONNX file as `build` does, and make nothing of it.

        Raises:
            UnsupportedOperator: names the operator and the node.
        """
        ...


class Lap(msgspec.Struct, frozen=True, kw_only=True):
    """How one of several files did that took turns.

    Attributes:
        milliseconds: median of the device clock.
        over_first: its time over that of the first file; None for the first.
    """

    milliseconds: float
    over_first: PairedRatio | None = None


class Stopwatch(Protocol):
    """Times plain ONNX files on a target: what steps that choose by latency receive instead of a device."""

    def race(self, graphs: Sequence[Path], target: Target) -> tuple[Lap, ...]:
        """Each file; they take turns, in several openings of all."""
        ...

    def layers(self, graph: Path, target: Target) -> Mapping[str, float]:
        """Milliseconds of every convolution and matrix product by the name of its node, each with what the
        engine runs between it and the next; empty where the engine does not tell."""
        ...


Backends = Callable[[Target], Backend]
"""The engine of a target: of this machine, or of another device."""


def own(outputs: Tensors) -> dict[str, Array]:
    """What a request read, in arrays of the caller."""
    return {name: array.copy() for name, array in outputs.items()}


def as_inputs(inputs: Tensors, infos: tuple[TensorInfo, ...]) -> Iterator[tuple[str, Array]]:
    """(name, C-contiguous array) per input of an engine.

    Raises:
        InputError: a name is missing or unknown, or dtype or shape differ.
    """
    names = [info.name for info in infos]
    if sorted(inputs) != sorted(names):
        raise InputError(f"got the inputs {', '.join(sorted(inputs)) or 'none'}", expected=", ".join(names))
    arrays = [(info.name, as_input(inputs[info.name], info)) for info in infos]
    return iter(arrays)


def as_input(array: Array, info: TensorInfo) -> Array:
    """`array` as C-contiguous, after checking dtype and shape against `info`."""
    if array.dtype != np.dtype(info.dtype) or array.shape != info.shape:
        raise InputError(
            f"input '{info.name}' got {array.dtype} {list(array.shape)}",
            expected=f"{info.dtype} {list(info.shape)}",
        )
    return np.ascontiguousarray(array)
