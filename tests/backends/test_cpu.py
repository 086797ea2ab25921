import os
import sys

import pytest

from edgeseg.backends.cpu import (
    Pinned,
    cpu_hardware,
    emulates_bf16,
    family_notes,
    parse_cpuinfo,
    thread_count,
    usable_cpus,
)
from edgeseg.core.bundle import Hardware
from edgeseg.core.target import Target
from edgeseg.errors import TargetError

linux = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux pins processes")


def test_family_of_x86():
    flags = "sse avx2 avx512f avx512_vnni avx512_bf16 amx_tile"
    text = f"processor\t: 0\nmodel name\t: Some Xeon\nflags\t\t: {flags}\n"
    assert parse_cpuinfo(text, "x86_64") == Hardware(
        kind="cpu", name="Some Xeon", family="x86-64 avx2 avx512 vnni bf16 amx"
    )


def test_family_of_arm():
    text = "processor\t: 0\nFeatures\t: fp asimd asimdhp asimddp bf16\n"
    assert parse_cpuinfo(text, "aarch64").family == "arm64 asimd asimd-fp16 asimd-dot asimd-bf16"


def test_family_without_cpuinfo():
    assert parse_cpuinfo("", "AMD64", "Intel64 Family 6") == Hardware(
        kind="cpu", name="Intel64 Family 6", family="x86-64"
    )


def test_same_family_says_nothing():
    assert family_notes(cpu_hardware()) == ()
    assert family_notes(Hardware(kind="gpu", family="sm89")) == ()


def test_other_family_names_both():
    (note,) = family_notes(Hardware(kind="cpu", name="Old Atom", family="x86-64"))
    assert "Old Atom" in note and cpu_hardware().family in note


def test_threads():
    assert thread_count(Target.parse("ort-fp32+threads=7")) == 7
    assert thread_count(Target.parse("ort-fp32+cpus=0-3")) == 4
    assert 1 <= thread_count(Target.parse("ort-fp32")) <= len(usable_cpus())


@linux
def test_pinning_is_undone():
    before = os.sched_getaffinity(0)
    pinned = Pinned((min(before),))
    assert os.sched_getaffinity(0) == {min(before)}
    pinned.release()
    assert os.sched_getaffinity(0) == before


@linux
def test_pinning_to_a_core_that_is_not_here():
    with pytest.raises(TargetError, match="4095"):
        Pinned((4095,))
    assert sys.platform


@pytest.mark.skipif("bf16" not in cpu_hardware().family, reason="this CPU has no bf16")
@pytest.mark.parametrize(
    ("limit", "emulated"), [("", False), ("AVX512_CORE_VNNI", True), ("avx512_core_bf16", False)]
)
def test_bf16_is_emulated_where_it_is_switched_off(limit, emulated, monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit or "ALL")
    assert emulates_bf16() is emulated
