"""Inference engines: one file each, found by its `NAMES`, imported on use.

A plug-in file states `NAMES` and `PRECISIONS` as literal tuples and has `backend(name) -> Backend`
(`edgeseg.core.ports`). Its module imports nothing of the engine at its top.
"""

from __future__ import annotations

from edgeseg.core.plugins import PluginFolder
from edgeseg.core.ports import Backend
from edgeseg.core.target import Target
from edgeseg.errors import TargetError

BACKENDS = PluginFolder("edgeseg.backends", "engine", listing="edgeseg targets", error=TargetError)


def backend_for(target: Target) -> Backend:
    """The engine of a target.

    Raises:
        TargetError: no file registers the engine, or it does not have the precision.
    """
    module = BACKENDS.load(target.engine)
    precisions: tuple[str, ...] = module.PRECISIONS
    if target.precision not in precisions:
        raise TargetError(
            f"target '{target}': the engine '{target.engine}' has no {target.precision}",
            expected=", ".join(f"{target.engine}-{p}" for p in precisions),
            hint="run `edgeseg targets` to see all",
        )
    backend: Backend = module.backend(target.engine)
    return backend
