"""What a device does with a whole bundle, in its own caches: for its own programs, or for a host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgeseg.core.bundle import Bundle
from edgeseg.core.cache import cache_folder, engine_cache
from edgeseg.core.measurement import Measurement, PairedRatio
from edgeseg.core.ports import BuildSettings, OpenSettings, Progress, silent
from edgeseg.device.bench import bench, bench_pair
from edgeseg.device.build import build, ready
from edgeseg.device.infer import DeviceScore, score
from edgeseg.device.settings import BenchSettings
from edgeseg.runtime.session import Session

Compared = tuple[Measurement, Measurement, PairedRatio, PairedRatio]
"""Two bundles, then time of the first over that of the second on the device and the host clock."""
BuildOptions = Mapping[str, str | int | float | bool]


def bench_here(bundle: Path, settings: BenchSettings, progress: Progress = silent) -> Measurement:
    """`bench`; a deferred bundle is built first."""
    return bench(ready(bundle, cache_folder(), progress), _cached(settings), progress)


def compare_here(a: Path, b: Path, settings: BenchSettings, progress: Progress = silent) -> Compared:
    """`bench_pair`; deferred bundles are built first."""
    first, second = (ready(path, cache_folder(), progress) for path in (a, b))
    return bench_pair(first, second, _cached(settings), progress)


def build_here(
    bundle: Bundle,
    output: Path,
    options: BuildOptions,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Bundle:
    """`build`."""
    settings = BuildSettings(cache=engine_cache(), options=dict(options))
    return build(bundle, output, settings, overwrite=overwrite, progress=progress)


def score_here(bundle: Path, frames: Path, labels: Path, progress: Progress = silent) -> DeviceScore:
    """`score` of a bundle that is opened for it."""
    with Session(Bundle.open(bundle), OpenSettings(cache=engine_cache())) as session:
        return score(session, frames, labels, progress)


def _cached(settings: BenchSettings) -> BenchSettings:
    return msgspec.structs.replace(settings, cache=engine_cache())
