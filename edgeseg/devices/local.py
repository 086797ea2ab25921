"""This machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle
from edgeseg.core.cache import cache_folder, engine_cache
from edgeseg.core.measurement import Measurement, PairedRatio
from edgeseg.core.ports import Backend, BuildSettings, OpenSettings, Progress, Tensors, silent
from edgeseg.core.target import Target
from edgeseg.device.bench import bench, bench_pair
from edgeseg.device.build import build, ready
from edgeseg.device.race import EngineFile, RaceSettings, Taken, race
from edgeseg.device.settings import BenchSettings
from edgeseg.devices import Device
from edgeseg.errors import InputError
from edgeseg.runtime.session import Session

if TYPE_CHECKING:
    from edgeseg.device.describe import Description
    from edgeseg.device.infer import DeviceScore

NAMES = ("local",)


class Local:
    name = "local"

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *fault: object) -> None:
        pass

    def describe(self, progress: Progress = silent) -> Description:
        from edgeseg.device.describe import describe

        return describe(progress)

    def backend(self, target: Target) -> Backend:
        return backend_for(target)

    def race(
        self,
        engines: Sequence[EngineFile],
        settings: RaceSettings,
        inputs: Tensors | None = None,
        progress: Progress = silent,
    ) -> Taken:
        return race(engines, settings, inputs, progress)

    def bench(self, bundle: Path, settings: BenchSettings, progress: Progress = silent) -> Measurement:
        return bench(ready(bundle, cache_folder(), progress), _here(settings), progress)

    def compare(
        self, a: Path, b: Path, settings: BenchSettings, progress: Progress = silent
    ) -> tuple[Measurement, Measurement, PairedRatio, PairedRatio]:
        pair = [ready(path, cache_folder(), progress) for path in (a, b)]
        return bench_pair(pair[0], pair[1], _here(settings), progress)

    def build(
        self,
        bundle: Bundle,
        output: Path,
        options: Mapping[str, str | int | float | bool],
        *,
        overwrite: bool = False,
        progress: Progress = silent,
    ) -> Bundle:
        settings = BuildSettings(cache=engine_cache(), options=dict(options))
        return build(bundle, output, settings, overwrite=overwrite, progress=progress)

    def score(self, bundle: Path, frames: Path, labels: Path, progress: Progress = silent) -> DeviceScore:
        from edgeseg.device.infer import score

        with Session(Bundle.open(bundle), OpenSettings(cache=engine_cache())) as session:
            return score(session, frames, labels, progress)


LOCAL = Local()


def device(name: str, address: str) -> Device:
    if address:
        raise InputError(f"--device {name}", expected="local, which has no address")
    return LOCAL


def _here(settings: BenchSettings) -> BenchSettings:
    return msgspec.structs.replace(settings, cache=engine_cache())
