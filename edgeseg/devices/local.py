"""This machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle
from edgeseg.core.measurement import Measurement
from edgeseg.core.ports import Backend, Progress, Tensors, silent
from edgeseg.core.target import Target
from edgeseg.device.here import BuildOptions, Compared, bench_here, build_here, compare_here, score_here
from edgeseg.device.race import EngineFile, RaceSettings, Taken, race
from edgeseg.device.settings import BenchSettings
from edgeseg.devices import Device
from edgeseg.errors import InputError

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
        return bench_here(bundle, settings, progress)

    def compare(self, a: Path, b: Path, settings: BenchSettings, progress: Progress = silent) -> Compared:
        return compare_here(a, b, settings, progress)

    def build(
        self,
        bundle: Bundle,
        output: Path,
        options: BuildOptions,
        *,
        overwrite: bool = False,
        progress: Progress = silent,
    ) -> Bundle:
        return build_here(bundle, output, options, overwrite=overwrite, progress=progress)

    def score(self, bundle: Path, frames: Path, labels: Path, progress: Progress = silent) -> DeviceScore:
        return score_here(bundle, frames, labels, progress)


LOCAL = Local()


def device(name: str, address: str) -> Device:
    if address:
        raise InputError(f"--device {name}", expected="local, which has no address")
    return LOCAL
