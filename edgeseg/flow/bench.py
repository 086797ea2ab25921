"""Time one bundle, or two against each other, and judge the result."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import msgspec

from edgeseg.core.documents import writable_folder, write_document
from edgeseg.core.measurement import Measurement, PairedRatio
from edgeseg.core.ports import Progress, silent
from edgeseg.core.target import parse_cpus
from edgeseg.core.verdict import Verdict, combine
from edgeseg.device.report import judge, unjudged
from edgeseg.device.settings import BenchSettings
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.errors import MissingDependency, MissingDevice
from edgeseg.evaluation.verification import IDLE


class BenchResult(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        measurements: of the bundle, and of the second one; empty when it cannot run here.
        ratios: paired, time of the bundle over time of the second, on the device and the host clock;
            below 1 the bundle is faster.
    """

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int = 1
    measurements: tuple[Measurement, ...] = ()
    ratios: tuple[PairedRatio, ...] = ()
    verdict: Verdict


def bench(
    bundle: Path,
    *,
    vs: str = "",
    min_runs: int = 200,
    min_seconds: float = 3.0,
    streams: int = 1,
    threads: int = 0,
    cpus: str = "",
    warmup: int = 10,
    openings: int = 6,
    blocks: int = 24,
    max_p99_ms: float = 0.0,
    output: str = "",
    device: Device = LOCAL,
    progress: Progress = silent,
) -> BenchResult:
    """Time a bundle on a device; with `vs`, open both several times and alternate them in blocks.

    A bundle whose engine cannot run there gives the verdict `unmeasured`, with a limit `unjudged`; a deferred
    bundle is built into the cache of the device first where its engine can be made.

    Args:
        cpus: cores to pin the process to, as in `0,2-3`; empty: as the target says.
        output: a JSON file for the result, raw samples included.
    """
    limit = max_p99_ms or None
    settings = BenchSettings(
        min_runs=min_runs,
        min_seconds=min_seconds,
        streams=streams,
        threads=threads or None,
        cpus=parse_cpus(cpus),
        warmup=warmup,
        openings=openings,
        blocks=blocks,
    ).judging(limit)
    settings.require_sane()
    if output:
        writable_folder(Path(output).parent)
    try:
        result = _timed(bundle, vs, settings, limit, device, progress)
    except (MissingDependency, MissingDevice) as missing:
        absent = Verdict(status="unmeasured", reasons=(str(missing),))
        result = BenchResult(verdict=combine((absent, *unjudged(limit, IDLE))))
    if output:
        write_document(Path(output), result)
    return result


def _timed(
    bundle: Path,
    vs: str,
    settings: BenchSettings,
    max_p99_ms: float | None,
    device: Device,
    progress: Progress,
) -> BenchResult:
    if not vs:
        measurement = device.bench(bundle, settings, progress)
        return BenchResult(measurements=(measurement,), verdict=judge(measurement, max_p99_ms))
    ours, theirs, *ratios = device.compare(bundle, Path(vs), settings, progress)
    verdict = judge(ours, max_p99_ms, *ratios)
    return BenchResult(measurements=(ours, theirs), ratios=tuple(ratios), verdict=verdict)
