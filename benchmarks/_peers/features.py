"""What the CPU has that matters for int8 and bf16."""

from __future__ import annotations

import os
from pathlib import Path

WANTED = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def cpu_features() -> dict[str, object]:
    """The flags of `/proc/cpuinfo` among WANTED that are there and missing, and the limit set on oneDNN."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    flags = next((set(line.split()) for line in text.splitlines() if line.startswith("flags")), set())
    return {
        "has": [flag for flag in WANTED if flag in flags],
        "lacks": [flag for flag in WANTED if flag not in flags],
        "onednn_max_cpu_isa": os.environ.get("ONEDNN_MAX_CPU_ISA", ""),
    }
