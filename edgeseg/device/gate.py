"""The break-even gate: int8 that nobody has timed ships only where it is faster than float."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from edgeseg.backends import backend_for
from edgeseg.backends.cpu import emulates_bf16
from edgeseg.core.bundle import Bundle, Manifest
from edgeseg.core.measurement import PairedRatio
from edgeseg.core.ports import Progress, silent
from edgeseg.core.status import GateResult
from edgeseg.core.target import Target
from edgeseg.device.bench import BenchSettings, bench_pair

UNTIMED = GateResult(state="untimed")


def float_fallback(bundle: Bundle) -> Manifest | None:
    """The bundle as if it were that of its float fallback: target, graphs, golden frames, notes and files.

    None where it has no fallback, or where this machine cannot time the two.
    """
    manifest, record = bundle.manifest, bundle.engine
    fallback, quantization = record.float_fallback, manifest.quantization
    target = Target.parse(record.target)
    can = backend_for(target).availability
    if fallback is None or quantization is None or not can(target).run:
        return None
    precisions = (p for p in fallback.precisions if not (p == "bf16" and emulates_bf16()))
    floats = (msgspec.structs.replace(target, precision=p) for p in precisions)
    chosen = next((one for one in floats if can(one).run), None)
    if chosen is None:
        return None
    golden = manifest.golden.file if manifest.golden else ""
    int8_only = {record.graph, golden, quantization.graph, quantization.tables}
    return msgspec.structs.replace(
        manifest,
        name=f"{manifest.model.name}-{chosen.folder}",
        quantization=None,
        engine=msgspec.structs.replace(record, target=str(chosen), graph=fallback.graph, float_fallback=None),
        golden=fallback.golden,
        notes=fallback.notes,
        files={name: entry for name, entry in manifest.files.items() if name not in int8_only},
    )


def race(int8: Path, fallback: Path, cache: Path | None, progress: Progress = silent) -> PairedRatio:
    """Time of the int8 bundle over that of the float one on the device clock, in several openings of both.

    Args:
        cache: folder for compiled models.
    """
    return bench_pair(int8, fallback, BenchSettings(cache=cache, check=False), progress)[2]


def int8_wins(ratio: PairedRatio) -> bool:
    """Is int8 (A) faster than float (B) for certain?"""
    return ratio.high < 1


def result(ratio: PairedRatio, fallback: str) -> GateResult:
    """What was measured. `fallback`: the float target."""
    state: Literal["won", "lost"] = "won" if int8_wins(ratio) else "lost"
    return GateResult(state=state, against=fallback, ratio=ratio.ratio, low=ratio.low, high=ratio.high)
