"""Times, as raw samples with the environment they were taken in."""

from __future__ import annotations

from typing import ClassVar

import msgspec


class Percentiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Summary of latency samples in milliseconds.

    Attributes:
        p50_low, p50_high: 95% interval of the median (order statistics, no distribution assumed).
        p99: None below 1,000 samples, which cannot tell it.
    """

    count: int
    minimum: float
    mean: float
    p50: float
    p50_low: float
    p50_high: float
    p90: float
    p99: float | None = None


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The machine at one moment. A field is None where the machine does not tell.

    Attributes:
        load: load average of the last minute.
        cpu_mhz: mean clock of the cores.
        temperature_c: hottest sensor.
        throttle_events: thermal throttling events since boot.
        power_mode: governor, or `nvpmodel` mode on a Jetson.
        gpu: name, clock, temperature and power as `nvidia-smi` tells them.
    """

    cpu: str
    cores: int
    load: float | None = None
    cpu_mhz: float | None = None
    power_mode: str | None = None
    temperature_c: float | None = None
    throttle_events: int | None = None
    memory_available_mb: float | None = None
    gpu: dict[str, str] = {}


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Latency of one engine.

    Attributes:
        id: of this measurement, so that results of several machines can be joined.
        created: when it ended, ISO 8601, UTC; `machine`: its name in the network; `hardware`: what computed.
        bundle: name of the bundle; `target` as text.
        bundle_id: digest of its manifest, which holds the sha256 of every file; empty without a bundle.
        device_samples_ms: inference alone, inputs already where the engine wants them.
        host_samples_ms: frame in, class map out, copies included.
        first_frame_ms: from opening the bundle to its first class map.
        throughput_fps: frames per second with `streams` requests at work; None if not measured.
        memory_mb: growth of the process's resident memory from before opening to the peak.
        valid: False when the numbers cannot be trusted; `reasons` say why and what to do.
        notes: what the engine warns of, such as a CPU family it was not tuned for.
    """

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int = 1
    id: str
    created: str
    machine: str
    hardware: str
    bundle: str
    bundle_id: str = ""
    target: str
    engine_version: str
    threads: int
    cpus: tuple[int, ...]
    batch: int
    streams: int
    warmup_runs: int
    device_samples_ms: tuple[float, ...]
    host_samples_ms: tuple[float, ...]
    device: Percentiles
    host: Percentiles
    first_frame_ms: float
    throughput_fps: float | None = None
    memory_mb: float | None = None
    before: Environment
    after: Environment
    settings: dict[str, str] = {}
    valid: bool = True
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class PairedRatio(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Time of A over time of B, from alternating blocks. Above 1: B is faster.

    Attributes:
        openings: how often both were opened anew; `blocks`: pairs of blocks in all of them together.
        low, high: 95% interval over the openings.
    """

    a: str
    b: str
    clock: str
    openings: int
    blocks: int
    ratio: float
    low: float
    high: float
    valid: bool = True
    reasons: tuple[str, ...] = ()
