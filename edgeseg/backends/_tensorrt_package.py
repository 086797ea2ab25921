"""The two distributions of TensorRT: their packages, their messages, and which GPU fits which plan."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any, NamedTuple

from edgeseg.backends._cuda import Device
from edgeseg.core.bundle import EngineRecord, Hardware
from edgeseg.core.target import Target
from edgeseg.errors import EngineMismatch, MissingDependency, MissingDevice, TargetError

COMPUTE_CAPABILITY = {
    "xavier": "sm72",
    "orin": "sm87",
    "thor": "sm110",
    "t4": "sm75",
    "a100": "sm80",
    "l4": "sm89",
    "h100": "sm90",
    "h200": "sm90",
}
"""Names of NVIDIA devices users know, and their compute capability
(https://developer.nvidia.com/cuda-gpus)."""


class Distribution(NamedTuple):
    """
    Attributes:
        engine: as targets name it.
        module: Python module; `extra`: of edgeseg, which installs it.
        entry: file name of a plan.
        ahead_of_time: builds for GPUs that are not here, without any GPU.
    """

    engine: str
    title: str
    module: str
    extra: str
    entry: str
    ahead_of_time: bool


DISTRIBUTIONS = {
    "trt": Distribution("trt", "TensorRT", "tensorrt", "tensorrt", "engine.plan", False),
    "rtx": Distribution("rtx", "TensorRT-RTX", "tensorrt_rtx", "rtx", "engine.rtx", True),
}

DEFAULT_FAMILY = "sm80+"
"""What TensorRT-RTX builds for when nothing is asked: 8.0, 8.6, 8.9, 12.0 and later
(https://docs.nvidia.com/deeplearning/tensorrt-rtx, CPU-only AOT)."""


_REBUILD = "build it again here: `edgeseg build BUNDLE`"


def load_package(kind: Distribution) -> Any:
    """Import it.

    Raises:
        MissingDependency: not installed; on a Jetson the hint names JetPack's own package.
        MissingDevice: installed, but its libraries cannot be loaded.
    """
    try:
        return importlib.import_module(kind.module)
    except ModuleNotFoundError as fault:
        if fault.name is None or fault.name.partition(".")[0] != kind.module:
            raise _broken(kind, fault) from None
        missing = MissingDependency(kind.module, kind.extra, needed_for=f"the engine {kind.title}")
        if kind.engine == "trt" and Path("/etc/nv_tegra_release").exists():
            missing.hint = (
                "on a Jetson: sudo apt install python3-libnvinfer (part of JetPack), in a virtual "
                "environment made with --system-site-packages"
            )
        raise missing from None
    except (ImportError, OSError) as fault:
        raise _broken(kind, fault) from None


def _broken(kind: Distribution, fault: Exception) -> MissingDevice:
    return MissingDevice(
        f"the package '{kind.module}' is installed but cannot be loaded: {fault}",
        hint=f'install it again: pip install --force-reinstall "edgeseg[{kind.extra}]"',
    )


def make_logger(trt: Any) -> Any:
    """An ILogger that keeps errors in `errors` and prints nothing."""

    class Messages(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message.strip())

    return Messages()


def require_known(target: Target) -> None:
    """Raise TargetError for hardware that is neither a device's name nor a compute capability."""
    for name in target.hardware:
        if name not in COMPUTE_CAPABILITY and not re.fullmatch(r"sm\d{2,3}", name):
            raise TargetError(
                f"target '{target}' names the hardware '{name}'",
                expected=f"one of {', '.join(COMPUTE_CAPABILITY)}, or a compute capability as in sm87",
                hint="run `edgeseg targets` to see all",
            )


def capabilities(trt: Any, target: Target) -> tuple[str, ...]:
    """Compute capabilities a TensorRT-RTX target is built for, as the package's enum names them (`SM86`).

    Raises:
        TargetError: one that this version cannot build for; the ones it can are listed.
    """
    able = [name for name in trt.ComputeCapability.__members__ if re.fullmatch(r"SM\d+", name)]
    wanted = [c.upper() for c in compute_capabilities(target)]
    refused = [c.lower() for c in wanted if c not in able]
    if refused:
        raise TargetError(
            f"target '{target}': TensorRT-RTX {trt.__version__} cannot build for {', '.join(refused)}",
            expected=f"any of {', '.join(c.lower() for c in able)}",
            hint="for Jetson and data-centre GPUs use trt-* on the device itself",
        )
    return tuple(wanted)


def require_same_device(kind: Distribution, target: Target, device: Device) -> None:
    """A TensorRT plan is built on the GPU it runs on.

    Raises:
        MissingDevice: the target names another one.
    """
    wanted = compute_capabilities(target)
    if wanted and wanted != (device.capability,):
        raise MissingDevice(
            f"target '{target}' is built on its own device ({', '.join(wanted)}); "
            f"this one is {device.name} ({device.capability})",
            hint=f"run `edgeseg build` there, or use {kind.engine}-{target.precision}@{device.capability}",
        )


def require_match(kind: Distribution, version: str, record: EngineRecord, device: Device) -> None:
    """Compare what a plan was made with and for against what is here.

    Raises:
        EngineMismatch: another version or another GPU; both are named.
    """
    if record.engine_version != version:
        raise EngineMismatch(
            f"this engine was made by {kind.title} {record.engine_version}; here is {version}", hint=_REBUILD
        )
    require_fit(kind, record.hardware, device)


def require_fit(kind: Distribution, made_for: Hardware, device: Device) -> None:
    """A TensorRT plan fits the very model of GPU it was built on, a TensorRT-RTX one its capabilities.

    Raises:
        EngineMismatch: naming both.
    """
    fits = _covers(made_for.family, device.capability)
    if fits and (kind.ahead_of_time or made_for.name == device.name):
        return
    made = f"{made_for.name} ({made_for.family})" if made_for.name else made_for.family
    raise EngineMismatch(
        f"this engine was made for {made}; here is {device.name} ({device.capability})", hint=_REBUILD
    )


def built_for(kind: Distribution, target: Target, device: Device | None) -> Hardware:
    """The hardware to record for a new plan."""
    if kind.ahead_of_time:
        return Hardware(kind="gpu", family=" ".join(compute_capabilities(target)) or DEFAULT_FAMILY)
    assert device is not None
    return Hardware(kind="gpu", name=device.name, family=device.capability)


def _covers(family: str, capability: str) -> bool:
    number = int(capability[2:])
    return any(
        number >= int(part[2:-1]) if part.endswith("+") else part == capability for part in family.split()
    )


def compute_capabilities(target: Target) -> tuple[str, ...]:
    """The hardware of a target with device names replaced: (`orin`, `sm86`) -> (`sm87`, `sm86`)."""
    return tuple(COMPUTE_CAPABILITY.get(h, h) for h in target.hardware)
