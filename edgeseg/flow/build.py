"""Finish a deferred bundle on its device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.bundle import Bundle
from edgeseg.core.cache import engine_cache
from edgeseg.core.drafts import refuse_existing
from edgeseg.core.ports import BuildSettings, Progress, silent
from edgeseg.core.target import Target
from edgeseg.device import build as device_build
from edgeseg.device.build import checked_options
from edgeseg.flow.beforehand import require_folder


def build(
    path: Path,
    output: str = "",
    *,
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
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
    target = Target.parse(bundle.engine.target)
    known = checked_options(target, options or {})
    recorded = {name: value for name, value in bundle.engine.settings.items() if name in known}
    settings = BuildSettings(cache=engine_cache(), options={**recorded, **(options or {})})
    return device_build.build(bundle, destination, settings, overwrite=overwrite, progress=progress)
