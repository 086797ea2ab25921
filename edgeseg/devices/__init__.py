"""Devices: how the host reaches the machines where engines are built, run and timed; one transport per file.

A plug-in file states `NAMES` and has `device(name, address) -> Device`. `--device ssh://pi@kitchen` is the
device of the file that registers `ssh`, at the address behind the colon.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgeseg.core.plugins import PluginFolder
from edgeseg.core.ports import Backend, Progress, Tensors, silent

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle
    from edgeseg.core.measurement import Measurement
    from edgeseg.core.target import Target
    from edgeseg.device.describe import Description
    from edgeseg.device.here import BuildOptions, Compared
    from edgeseg.device.infer import DeviceScore
    from edgeseg.device.race import EngineFile, RaceSettings, Taken
    from edgeseg.device.settings import BenchSettings

DEVICES = PluginFolder("edgeseg.devices", "device", listing="edgeseg doctor --help")


class Device(Protocol):
    """A machine with engines. Paths are those of the host; what a device needs is sent to it.

    All raise MissingDevice when it cannot be reached, and what the engine raises there. A context manager:
    left at its end.

    Attributes:
        name: as `--device` has it.
    """

    name: str

    def __enter__(self) -> Device: ...

    def __exit__(self, *fault: object) -> None: ...

    def describe(self, progress: Progress = silent) -> Description:
        """The machine, and what each engine can do on it."""
        ...

    def backend(self, target: Target) -> Backend:
        """The engine of a target on this device: what it can do, building, opening and running, layers.

        Raises:
            TargetError: there is no such engine or precision.
        """
        ...

    def race(
        self,
        engines: Sequence[EngineFile],
        settings: RaceSettings,
        inputs: Tensors | None = None,
        progress: Progress = silent,
    ) -> Taken:
        """Time built engines that take turns; `inputs`: of every run, None: noise."""
        ...

    def bench(self, bundle: Path, settings: BenchSettings, progress: Progress = silent) -> Measurement:
        """Time a bundle; a deferred one is built first, in the cache of the device."""
        ...

    def compare(self, a: Path, b: Path, settings: BenchSettings, progress: Progress = silent) -> Compared:
        """Time two bundles in alternating blocks: both, then A over B on the device and the host clock."""
        ...

    def build(
        self,
        bundle: Bundle,
        output: Path,
        options: BuildOptions,
        *,
        overwrite: bool = False,
        progress: Progress = silent,
    ) -> Bundle:
        """Make the engine of a deferred bundle, as a child at `output`."""
        ...

    def score(self, bundle: Path, frames: Path, labels: Path, progress: Progress = silent) -> DeviceScore:
        """How right a bundle is on two `.npy` files: frames [N,H,W,C], class ids uint8 [N,H,W]."""
        ...


def device_named(text: str) -> Device:
    """The device that `--device` names: `NAME` or `NAME:ADDRESS`.

    Raises:
        InputError: no file registers the name.
    """
    name, _, address = text.partition(":")
    device: Device = DEVICES.load(name).device(text, address)
    return device
