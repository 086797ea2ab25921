"""The machine at one moment, as far as it tells. Linux; every field is optional."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from edgeseg.backends.cpu import usable_cpus
from edgeseg.core.measurement import Environment

ROOT = Path("/")
_NVIDIA_SMI = {
    "name": "name",
    "clock_mhz": "clocks.sm",
    "temperature_c": "temperature.gpu",
    "power_w": "power.draw",
    "driver": "driver_version",
}
"""Key in `Environment.gpu` -> field of `nvidia-smi --query-gpu`."""
_NVIDIA_SMI_SLOWDOWN = {
    "thermal_slowdown": "clocks_throttle_reasons.sw_thermal_slowdown",
    "hardware_slowdown": "clocks_throttle_reasons.hw_slowdown",
}


class CpuTime(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds since boot on every core, and of this process.

    Attributes:
        busy: by core, of all processes, time stolen by a hypervisor included.
        own: of this process, all threads.
        wall: monotonic clock.
        usable: the cores this process may use.
    """

    busy: dict[int, float]
    own: float
    wall: float
    usable: frozenset[int]


def read_environment(root: Path = ROOT) -> Environment:
    """Read `/proc` and `/sys` under `root`, `nvpmodel` and `nvidia-smi` where they are there."""
    cpuinfo = _text(root / "proc/cpuinfo")
    temperatures = [
        t for t in map(_number, _all(root, "sys/class/thermal/thermal_zone*/temp")) if t is not None
    ]
    throttles = [
        n
        for name in ("core_throttle_count", "package_throttle_count")
        for n in map(_number, _all(root, f"sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/{name}"))
        if n is not None
    ]
    load = _number(_text(root / "proc/loadavg").partition(" ")[0])
    available = _number(_field(_text(root / "proc/meminfo"), "MemAvailable").partition(" ")[0])
    return Environment(
        cpu=_field(cpuinfo, "model name") or _text(root / "proc/device-tree/model") or platform.machine(),
        cores=len(usable_cpus()),
        load=load,
        cpu_mhz=_mhz(root, cpuinfo),
        power_mode=_nvpmodel()
        or _text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
        or None,
        temperature_c=max(temperatures) / 1000 if temperatures else None,
        throttle_events=int(sum(throttles)) if throttles else None,
        memory_available_mb=None if available is None else available * 1024 / 1e6,
        gpu={**_nvidia_smi(_NVIDIA_SMI), **_nvidia_smi(_NVIDIA_SMI_SLOWDOWN)},
    )


def provenance() -> dict[str, Any]:
    """`id`, `created` and `machine` of a measurement that ends now."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"id": uuid.uuid4().hex, "created": now, "machine": platform.node()}


def read_cpu_time(root: Path = ROOT) -> CpuTime | None:
    """From `/proc/stat`; None where it cannot be read. Two of these tell what other processes used."""
    rows = (line.split() for line in _text(root / "proc/stat").splitlines())
    busy = {int(row[0][3:]): _busy(row[1:]) for row in rows if row and re.fullmatch(r"cpu\d+", row[0])}
    usable = frozenset(usable_cpus())
    if not usable <= busy.keys():
        return None
    times = os.times()
    return CpuTime(busy=busy, own=times.user + times.system, wall=time.monotonic(), usable=usable)


def _busy(fields: list[str]) -> float:
    """Seconds that are neither idle nor waiting for a disk; see proc(5)."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = (float(v) for v in fields[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def others_share(before: CpuTime | None, after: CpuTime | None) -> float | None:
    """Share of the usable cores that other processes (or a hypervisor) took between two moments. A process
    that was pinned in between was disturbed on all cores that it ever had."""
    if before is None or after is None or after.wall <= before.wall:
        return None
    cores = before.usable | after.usable
    if not cores <= before.busy.keys() & after.busy.keys():
        return None
    taken = sum(after.busy[c] - before.busy[c] for c in cores) - (after.own - before.own)
    return max(0.0, taken) / ((after.wall - before.wall) * len(cores))


class MemoryWatch:
    """Growth of this process's resident memory, from now to its peak.

    The peak is `VmHWM` of `/proc/self/status`, reset at the start by writing 5 to
    `/proc/self/clear_refs` (proc(5)). Where the reset is refused an older, higher peak would hide
    the growth; the resident memory at the end is taken instead.
    """

    def __init__(self) -> None:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._before, self._peak = _resident()

    def growth_mb(self) -> float | None:
        """In 10^6 bytes; None where `/proc` does not tell."""
        resident, peak = _resident()
        if self._before is None or resident is None or peak is None:
            return None
        top = peak if peak != self._peak else resident
        return max(0.0, top - self._before) * 1024 / 1e6


def _resident() -> tuple[float | None, float | None]:
    """(VmRSS, VmHWM) in KiB."""
    status = _text(Path("/proc/self/status"))
    rss, peak = (_number(_field(status, name).partition(" ")[0]) for name in ("VmRSS", "VmHWM"))
    return rss, peak


def _mhz(root: Path, cpuinfo: str) -> float | None:
    """Mean clock of the cores: cpufreq (kHz), else what `/proc/cpuinfo` says."""
    frequencies = _all(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    clocks = [khz / 1000 for khz in map(_number, frequencies) if khz is not None]
    if not clocks:
        lines = (line.partition(":") for line in cpuinfo.splitlines() if line.startswith("cpu MHz"))
        clocks = [mhz for mhz in (_number(value) for _, _, value in lines) if mhz is not None]
    return sum(clocks) / len(clocks) if clocks else None


def _nvpmodel() -> str:
    """Power mode of a Jetson (`MAXN`), empty elsewhere."""
    output = _run("nvpmodel", "-q")
    return _field(output, "NV Power Mode")


def _nvidia_smi(fields: dict[str, str]) -> dict[str, str]:
    """Fields of the first GPU; empty without `nvidia-smi` or where it does not know the fields."""
    output = _run(
        "nvidia-smi", f"--query-gpu={','.join(fields.values())}", "--format=csv,noheader,nounits", "-i", "0"
    )
    values = [value.strip() for value in output.partition("\n")[0].split(",")]
    return dict(zip(fields, values)) if len(values) == len(fields) else {}


def _run(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout if result.returncode == 0 else ""


def _all(root: Path, pattern: str) -> Iterator[str]:
    return (_text(file) for file in sorted(root.glob(pattern)))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""


def _field(text: str, name: str) -> str:
    """Value of the first `name : value` line."""
    lines: Iterable[tuple[str, str, str]] = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
