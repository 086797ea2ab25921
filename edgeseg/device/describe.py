"""This machine, and what each engine can do on it."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from pathlib import Path
from typing import Any

import msgspec

from edgeseg import __version__
from edgeseg.backends import BACKENDS
from edgeseg.core.cache import cache_folder
from edgeseg.core.measurement import Environment
from edgeseg.core.plugins import read_literal
from edgeseg.core.ports import Progress, silent
from edgeseg.core.target import Target
from edgeseg.device.environment import read_environment


class TargetReport(msgspec.Struct, frozen=True, kw_only=True):
    """What can be done with one target here.

    Attributes:
        target: as text; the engine's name where its backend file is broken.
        build, run: an engine can be made here; it can be executed here.
        version, device: of the engine's package and what it would run on.
        reason: why not; `fix`: what to install or attach.
    """

    target: str
    build: bool = False
    run: bool = False
    version: str = ""
    device: str = ""
    reason: str = ""
    fix: str = ""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        memory_gb: all of it, in 10^9 bytes; None where the system does not tell.
        cache: folder of timing and model caches; `cache_writable`: files can be made in it.
        environment: processor, cores, clocks, GPU as they are now; None where it cannot be read, and
            `notes` say why.
    """

    edgeseg: str
    python: str
    system: str
    memory_gb: float | None
    cache: str
    cache_writable: bool
    environment: Environment | None
    notes: tuple[str, ...] = ()


class Description(msgspec.Struct, frozen=True, kw_only=True):
    machine: Machine
    targets: tuple[TargetReport, ...]


def describe(progress: Progress = silent) -> Description:
    """Never raises because a backend is broken: its report says so."""
    return Description(machine=_machine(), targets=target_reports(progress))


def target_reports(progress: Progress = silent) -> tuple[TargetReport, ...]:
    """One report per target of every backend file in the folder."""
    reports: list[TargetReport] = []
    for folder in importlib.import_module(BACKENDS.package).__path__:
        for file in sorted(Path(folder).glob("[!_]*.py")):
            progress(f"looking at {file.stem}")
            reports.extend(_reports_of(file))
    return tuple(reports)


def _reports_of(file: Path) -> list[TargetReport]:
    """Reports of one backend file. Whatever is wrong in it is caught here: it is what a doctor looks for."""
    names: tuple[str, ...] = (file.stem,)
    try:
        names = read_literal(file, "NAMES")
        module = importlib.import_module(f"{BACKENDS.package}.{file.stem}")
    except Exception as fault:
        return [_broken(name, file, fault) for name in names]
    reports: list[TargetReport] = []
    for name in names:
        try:
            backend = module.backend(name)
            reports.extend(_report(backend, text) for text in backend.targets())
        except Exception as fault:
            reports.append(_broken(name, file, fault))
    return reports


def _report(backend: Any, text: str) -> TargetReport:
    return TargetReport(target=text, **msgspec.structs.asdict(backend.availability(Target.parse(text))))


def _broken(name: str, file: Path, fault: Exception) -> TargetReport:
    return TargetReport(
        target=name,
        reason=f"{file} is broken: {type(fault).__name__}: {fault}",
        fix="mend or remove that file, or install edgeseg again",
    )


def _machine() -> Machine:
    cache = cache_folder()
    environment, notes = _environment()
    return Machine(
        edgeseg=__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        memory_gb=_memory_gb(),
        cache=str(cache),
        cache_writable=_writable(cache),
        environment=environment,
        notes=notes,
    )


def _environment() -> tuple[Environment | None, tuple[str, ...]]:
    try:
        return read_environment(), ()
    except (OSError, ValueError) as fault:
        return None, (f"clocks and temperatures cannot be read: {fault}",)


def _memory_gb() -> float | None:
    if sys.platform == "win32":
        return None
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (OSError, ValueError):
        return None


def _writable(folder: Path) -> bool:
    """Whether files can be made in `folder`, or the folder itself can be made."""
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
