"""Finish a deferred bundle on its device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.bundle import Bundle
from edgeseg.core.drafts import refuse_existing
from edgeseg.core.ports import Progress, silent
from edgeseg.core.target import Target
from edgeseg.device.build import checked_options
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.flow.beforehand import require_folder


def build(
    path: Path,
    output: str = "",
    *,
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    device: Device = LOCAL,
    progress: Progress = silent,
) -> Bundle:
    """Make the engine of a deferred bundle as a child bundle, by default beside it as `NAME-built`.

    Args:
        options: of the engine's builder, in place of those that the bundle records.

    Raises:
        InputError: an option that the engine does not have.
        BundleError: not a deferred bundle, or the output exists.
        MissingDependency, MissingDevice: the engine or its device is not here.
    """
    place = path.resolve()
    destination = Path(output) if output else place.with_name(f"{place.name}-built")
    require_folder(destination.parent)
    refuse_existing(destination, overwrite)
    bundle = Bundle.open(path)
    checked_options(Target.parse(bundle.engine.target), options or {})
    return device.build(bundle, destination, options or {}, overwrite=overwrite, progress=progress)
