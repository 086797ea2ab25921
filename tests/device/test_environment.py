from __future__ import annotations

import gc
import os
import sys

import msgspec
import numpy as np
import pytest

from edgeseg.device.environment import (
    CpuTime,
    MemoryWatch,
    others_share,
    read_cpu_time,
    read_environment,
)


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_an_empty_machine_tells_nothing_and_nothing_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    result = read_environment(tmp_path)
    assert result.cpu
    assert result.cores >= 1
    assert (result.load, result.cpu_mhz, result.power_mode, result.temperature_c) == (None,) * 4
    assert (result.throttle_events, result.memory_available_mb, result.gpu) == (None, None, {})


def test_a_laptop(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    cpu = "sys/devices/system/cpu"
    root = write(
        tmp_path,
        {
            "proc/cpuinfo": "processor : 0\nmodel name\t: Fast CPU\ncpu MHz\t: 1000.0\n",
            "proc/loadavg": "1.25 0.5 0.1 1/100 42\n",
            "proc/meminfo": "MemTotal: 2000 kB\nMemAvailable:   1000000 kB\n",
            f"{cpu}/cpu0/cpufreq/scaling_cur_freq": "2000000\n",
            f"{cpu}/cpu1/cpufreq/scaling_cur_freq": "3000000\n",
            f"{cpu}/cpu0/cpufreq/scaling_governor": "performance\n",
            f"{cpu}/cpu0/thermal_throttle/core_throttle_count": "2\n",
            f"{cpu}/cpu1/thermal_throttle/package_throttle_count": "3\n",
            "sys/class/thermal/thermal_zone0/temp": "41000\n",
            "sys/class/thermal/thermal_zone1/temp": "55500\n",
            "sys/class/thermal/thermal_zone2/temp": "unreadable\n",
        },
    )
    result = read_environment(root)
    assert (result.cpu, result.load, result.cpu_mhz) == ("Fast CPU", 1.25, 2500.0)
    assert (result.power_mode, result.temperature_c, result.throttle_events) == ("performance", 55.5, 5)
    assert result.memory_available_mb == pytest.approx(1024.0)


def test_clocks_without_cpufreq_come_from_cpuinfo(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    write(tmp_path, {"proc/cpuinfo": "cpu MHz : 1000.0\ncpu MHz : 2000.0\n"})
    assert read_environment(tmp_path).cpu_mhz == 1500.0


def test_a_jetson_tells_its_power_mode_and_a_gpu_its_clock(tmp_path, monkeypatch):
    tools = {
        "bin/nvpmodel": "#!/bin/sh\necho 'NV Power Mode: MAXN'\necho 0\n",
        "bin/nvidia-smi": '#!/bin/sh\ncase "$1" in\n'
        "*slowdown*) echo 'Not Active, Active';;\n"
        "*) echo 'Orin, 1300, 51, 20.5, 540.4';;\nesac\n",
    }
    for file in tools:
        write(tmp_path, {file: tools[file]})
        (tmp_path / file).chmod(0o755)
    write(tmp_path, {"proc/device-tree/model": "NVIDIA Jetson AGX Orin\0"})
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    result = read_environment(tmp_path)
    assert (result.cpu, result.power_mode) == ("NVIDIA Jetson AGX Orin", "MAXN")
    assert result.gpu["name"] == "Orin"
    assert (result.gpu["clock_mhz"], result.gpu["driver"]) == ("1300", "540.4")
    assert (result.gpu["thermal_slowdown"], result.gpu["hardware_slowdown"]) == ("Not Active", "Active")


def test_a_failing_tool_is_as_good_as_none(tmp_path, monkeypatch):
    write(tmp_path, {"nvidia-smi": "#!/bin/sh\necho 'no devices, x'\nexit 9\n"})
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_environment(tmp_path).gpu == {}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux")
def test_this_machine():
    assert read_environment().memory_available_mb > 0
    assert sum(read_cpu_time().busy.values()) > 0


def test_cpu_time_counts_every_core_and_stolen_time(tmp_path):
    tick = os.sysconf("SC_CLK_TCK")
    rows = [f"cpu{cpu} {tick} 0 {tick} 500 0 0 0 {tick} 0 0" for cpu in sorted(os.sched_getaffinity(0))]
    write(
        tmp_path, {"proc/stat": "cpu  9 9 9 9\n" + "\n".join(rows) + f"\ncpu9999 {tick} 0 0 0 0 0 0 0 0 0\n"}
    )
    result = read_cpu_time(tmp_path)
    assert result.usable == os.sched_getaffinity(0)
    assert result.busy == {**dict.fromkeys(result.usable, 3.0), 9999: 1.0}
    assert read_cpu_time(tmp_path / "nowhere") is None


def test_the_share_of_others_is_what_this_process_did_not_use():
    both = frozenset({0, 1})
    before = CpuTime(busy={0: 40.0, 1: 60.0, 2: 7.0}, own=10.0, wall=0.0, usable=both)
    after = CpuTime(busy={0: 47.0, 1: 69.0, 2: 99.0}, own=20.0, wall=10.0, usable=both)
    assert others_share(before, after) == pytest.approx(0.3)
    pinned = msgspec.structs.replace(after, usable=frozenset({0}))
    assert others_share(before, pinned) == pytest.approx(0.3)
    assert others_share(before, msgspec.structs.replace(after, busy={0: 47.0})) is None
    assert others_share(before, None) is None
    assert others_share(None, after) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux")
def test_memory_growth_is_seen_even_when_it_was_freed_again():
    gc.collect()  # what other tests left must not be freed while this one counts
    watch = MemoryWatch()
    block = np.ones(400_000_000, np.uint8)
    while_held = watch.growth_mb()
    del block
    assert 300 < while_held < 800
    if os.access("/proc/self/clear_refs", os.W_OK):
        assert watch.growth_mb() > 300
