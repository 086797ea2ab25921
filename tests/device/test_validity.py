from __future__ import annotations

import numpy as np
import pytest

from edgeseg.core.measurement import Environment, PairedRatio
from edgeseg.device.validity import environment_reasons, others_reasons, ratio_reasons, sample_reasons


def steady(count=400, scale=10.0, seed=0):
    return np.random.default_rng(seed).normal(scale, 0.02 * scale, count).tolist()


def environment(**fields):
    return Environment(cpu="cpu", cores=2, **fields)


def test_a_steady_series_is_valid():
    assert not list(sample_reasons(steady(), "host"))


def test_too_few_runs():
    (reason,) = sample_reasons(steady(29), "device")
    assert "device: 29 runs, at least 30" in reason
    assert "--min-runs" in reason


def test_one_slow_run_in_eight_is_too_much():
    data = steady()
    data[::8] = [30.0] * len(data[::8])
    (reason,) = sample_reasons(data, "host")
    assert "p90 is 2.99 times" in reason
    assert "limit 1.25" in reason


def test_one_slow_run_in_fifty_is_not():
    data = steady()
    data[::50] = [30.0] * len(data[::50])
    assert not list(sample_reasons(data, "host"))


@pytest.mark.parametrize(("second", "word"), [(10.8, "8.0% slower"), (9.2, "8.0% faster")])
def test_a_median_that_moves_is_drift(second, word):
    data = steady(200) + steady(200, scale=second, seed=1)
    (reason,) = sample_reasons(data, "host")
    assert word.split()[1] in reason
    assert "--warmup" in reason


def test_a_difference_of_halves_within_their_intervals_is_not_drift():
    noisy = np.random.default_rng(3).normal(10, 0.9, 32).tolist()
    assert not any("half" in reason for reason in sample_reasons(noisy, "host"))


def test_throttling_a_falling_clock_and_a_changed_mode():
    before = environment(throttle_events=1, cpu_mhz=3000.0, power_mode="performance")
    after = environment(throttle_events=3, cpu_mhz=2000.0, power_mode="powersave")
    throttled, clock, mode = environment_reasons(before, after)
    assert "throttled 2 times" in throttled
    assert "from 3000 to 2000 MHz" in clock
    assert "from performance to powersave" in mode


def test_a_gpu_that_slows_down():
    (reason,) = environment_reasons(environment(), environment(gpu={"thermal_slowdown": "Active"}))
    assert "thermal slowdown" in reason


def test_what_the_machine_does_not_tell_is_no_reason():
    assert not list(environment_reasons(environment(), environment()))
    assert not list(others_reasons(None))
    assert not list(environment_reasons(environment(cpu_mhz=3000.0), environment(cpu_mhz=2800.0)))


def test_load_of_other_processes():
    (reason,) = others_reasons(0.42)
    assert "42%" in reason
    assert "--cpus" in reason
    assert not list(others_reasons(0.05))


def test_a_ratio_needs_a_narrow_interval():
    def ratio(**fields):
        return PairedRatio(a="a", b="b", clock="host", openings=6, blocks=24, ratio=1.0, **fields)

    assert not list(ratio_reasons(ratio(low=0.98, high=1.02)))
    (wide,) = ratio_reasons(ratio(low=0.5, high=2.0))
    assert "too wide" in wide and "--openings" in wide
