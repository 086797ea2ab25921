"""The CPU of this machine: what decides whether tuned code fits, how many threads, which cores."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path

from edgeseg.core.bundle import Hardware
from edgeseg.core.target import Target
from edgeseg.errors import TargetError

_INSTRUCTION_SETS = {
    "avx2": "avx2",
    "avx512": "avx512f",
    "vnni": "avx512_vnni",
    "bf16": "avx512_bf16",
    "fp16": "avx512_fp16",
    "amx": "amx_tile",
    "asimd": "asimd",
    "asimd-fp16": "asimdhp",
    "asimd-dot": "asimddp",
    "asimd-i8mm": "i8mm",
    "asimd-bf16": "bf16",
    "sve": "sve",
}
"""Name in `Hardware.family` -> flag in `/proc/cpuinfo` (x86 `flags`, Arm `Features`)."""


@lru_cache(maxsize=1)
def cpu_hardware() -> Hardware:
    """This CPU, with a family such as `x86-64 avx2 avx512 vnni bf16`.

    Where `/proc/cpuinfo` does not exist (Windows, macOS) the family is the architecture alone.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return parse_cpuinfo(text, platform.machine(), platform.processor())


def parse_cpuinfo(text: str, machine: str, fallback_name: str = "") -> Hardware:
    """`cpu_hardware` of another machine's `/proc/cpuinfo`."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    flags = set((fields.get("flags") or fields.get("features") or "").split())
    architecture = {"x86_64": "x86-64", "AMD64": "x86-64", "aarch64": "arm64"}.get(machine, machine)
    sets = (name for name, flag in _INSTRUCTION_SETS.items() if flag in flags)
    return Hardware(
        kind="cpu",
        name=fields.get("model name") or fields.get("hardware") or fallback_name or architecture,
        family=" ".join((architecture, *sets)),
    )


def emulates_bf16() -> bool:
    """An x86 CPU without bf16 instructions, or one on which `ONEDNN_MAX_CPU_ISA` switches them off
    (https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html)."""
    sets = cpu_hardware().family.split()
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    switched_off = limit not in ("ALL", "DEFAULT") and not any(
        w in limit for w in ("BF16", "FP16", "AMX", "AVX10")
    )
    return sets[0] == "x86-64" and (switched_off or not {"bf16", "amx"} & set(sets))


def family_notes(built_for: Hardware) -> tuple[str, ...]:
    """A warning, naming both, when an engine was made on another kind of CPU than this one."""
    here = cpu_hardware()
    if built_for.kind != "cpu" or not built_for.family or built_for.family == here.family:
        return ()
    note = (
        f"this bundle was made on '{built_for.name}' ({built_for.family}) and runs on '{here.name}' "
        f"({here.family}): its accuracy and latency were not measured on this kind of CPU"
    )
    return (note,)


def usable_cpus() -> tuple[int, ...]:
    """Logical CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def thread_count(target: Target) -> int:
    """Threads a target asks for: stated, else one per pinned CPU, else one per physical core in reach."""
    if target.threads or target.cpus:
        return target.threads or len(target.cpus)
    return len({_core_of(cpu) for cpu in usable_cpus()})


def _core_of(cpu: int) -> str:
    siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return siblings.read_text(encoding="ascii").strip()
    except OSError:
        return str(cpu)


class Pinned:
    """Pins the calling thread, and with it every thread started from it, until `release()`.

    Engines start their workers while they open, so these inherit the mask. Workers that an
    earlier engine of the same process started keep the mask they had.

    Raises:
        TargetError: a core that is not here, or a system that cannot pin.
    """

    def __init__(self, cpus: tuple[int, ...]) -> None:
        self._before: tuple[int, ...] = ()
        if not cpus:
            return
        here = usable_cpus()
        missing = sorted(set(cpus) - set(here))
        if missing:
            raise TargetError(
                f"the target pins to cores that this process may not use: {', '.join(map(str, missing))}",
                expected=f"cores out of {', '.join(map(str, here))}",
            )
        if not hasattr(os, "sched_setaffinity"):
            raise TargetError(f"{platform.system()} cannot pin a process to cores", hint="leave out +cpus=")
        self._before = here
        os.sched_setaffinity(0, cpus)

    def release(self) -> None:
        if self._before:
            os.sched_setaffinity(0, self._before)
            self._before = ()
