"""What this machine can build and run, and what is missing for the rest."""

from __future__ import annotations

import re
from collections import Counter
from importlib.metadata import PackageNotFoundError, requires, version

import msgspec

from edgeseg.core.ports import Progress, silent
from edgeseg.device.describe import Machine, TargetReport
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL

DEVELOPMENT = "dev"


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """An optional package: the extra that brings it, its version (empty: not installed) and how to get it."""

    name: str
    extra: str
    version: str = ""
    fix: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    machine: Machine
    packages: tuple[Package, ...]
    targets: tuple[TargetReport, ...]


def doctor(*, device: Device = LOCAL, progress: Progress = silent) -> Diagnosis:
    """Look at a device, and at the packages here. A backend that is broken says so in its report."""
    found = device.describe(progress)
    return Diagnosis(machine=found.machine, packages=optional_packages(), targets=found.targets)


def optional_packages() -> tuple[Package, ...]:
    """The packages of edgeseg's extras, by its installed metadata; empty in a bare source tree.

    A package of several extras is told with the smallest one.
    """
    try:
        lines = requires("edgeseg") or []
    except PackageNotFoundError:
        return ()
    pattern = re.compile(r"""([\w.-]+)(?!.*\[).*extra\s*==\s*['"]([\w-]+)['"]""")
    pairs = [(match[1], match[2]) for match in map(pattern.match, lines) if match]
    sizes = Counter(extra for _, extra in pairs)
    smallest: dict[str, str] = {}
    for name, extra in pairs:
        if extra != DEVELOPMENT and sizes[extra] < sizes.get(smallest.get(name, ""), len(pairs) + 1):
            smallest[name] = extra
    return tuple(_package(name, extra) for name, extra in smallest.items())


def _package(name: str, extra: str) -> Package:
    try:
        return Package(name=name, extra=extra, version=version(name))
    except PackageNotFoundError:
        return Package(name=name, extra=extra, fix=f'pip install "edgeseg[{extra}]"')
