"""Finish a deferred bundle on its device."""

from __future__ import annotations

from pathlib import Path

from edgeseg.core.bundle import Bundle
from edgeseg.core.cache import engine_cache
from edgeseg.core.drafts import refuse_existing
from edgeseg.core.ports import BuildSettings, Progress, silent
from edgeseg.device import build as device_build
from edgeseg.flow.beforehand import require_folder


def build(
    path: Path,
    output: str = "",
    *,
    workspace_mb: int = 0,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Bundle:
    """Make the engine of a deferred bundle as a child bundle, by default beside it as `NAME-built`.

    Raises:
        BundleError: not a deferred bundle, or the output exists.
        MissingDependency, MissingDevice: the engine or its device is not here.
    """
    place = path.resolve()
    destination = Path(output) if output else place.with_name(f"{place.name}-built")
    require_folder(destination.parent)
    refuse_existing(destination, overwrite)
    bundle = Bundle.open(path)
    recorded = bundle.engine.settings
    settings = BuildSettings(
        cache=engine_cache(),
        workspace_mb=workspace_mb or int(recorded.get("workspace_mb", 0)),
        cuda_graph=bool(recorded.get("cuda_graph", True)),
    )
    return device_build.build(bundle, destination, settings, overwrite=overwrite, progress=progress)
