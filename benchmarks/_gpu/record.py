"""What `gpu.py` finds out, as data that outlives the process."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

import msgspec

from edgeseg.core.measurement import Measurement, PairedRatio
from edgeseg.evaluation.verification import Drop

Status: TypeAlias = Literal["passed", "failed", "missing", "no time"]


class Proof(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One target: built, opened, self-checked, verified, timed.

    Attributes:
        reason: why it did not pass.
        built: the target whose engine ships; the float rival's where the break-even gate preferred it.
        seconds: from the network or the deferred bundle to a checked engine.
        gpu_memory_growth_mb: memory in use on the GPU while the engine is open, less before; None on a CPU,
            and where `nvidia-smi` does not tell.
        score: the metric of the task, 0-1; `drop`: against FP32, in points.
        gate: what the race of int8 against its float fallback told, of a bundle that was made elsewhere.
        agreement: share of the pixels that have FP32's class.
    """

    target: str
    status: Status
    reason: str = ""
    built: str = ""
    engine_version: str = ""
    seconds: float | None = None
    gpu_memory_growth_mb: float | None = None
    score: float | None = None
    drop: Drop | None = None
    agreement: float | None = None
    measurement: Measurement | None = None
    gate: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Rivalry(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The network in PyTorch. `seconds`: to its first class map, compilation included."""

    name: str
    status: Status
    reason: str = ""
    seconds: float | None = None
    agreement: float | None = None


class Pair(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Two that took turns, frame in memory to class map in memory. `ratio`: time of `a` over time of `b`."""

    a: str
    b: str
    status: Status
    reason: str = ""
    a_ms: float | None = None
    b_ms: float | None = None
    ratio: PairedRatio | None = None


Found: TypeAlias = Proof | Rivalry | Pair


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        gpu: name and compute capability; empty on a machine without.
        versions: of Python and of the packages that took part.
        seconds: what it took, of `allowed_seconds`.
        camera_size: (height, width) of the frames; `frames`: how many were scored.
    """

    SCHEMA_VERSION: ClassVar[int] = 2

    schema_version: int = 2
    gpu: str
    cpu: str
    versions: dict[str, str]
    camera_size: tuple[int, int]
    frames: int
    seconds: float
    allowed_seconds: float
    proofs: tuple[Proof, ...]
    rivals: tuple[Rivalry, ...]
    pairs: tuple[Pair, ...]


class Journal:
    """A file that grows by one finding at a time: what a process had found when it died is kept."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def add(self, found: Found) -> None:
        with self.file.open("ab") as stream:
            stream.write(msgspec.json.encode(found) + b"\n")

    def read(self) -> list[Found]:
        if not self.file.exists():
            return []
        return [msgspec.json.decode(line, type=Found) for line in self.file.read_bytes().splitlines()]
