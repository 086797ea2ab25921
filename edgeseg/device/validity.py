"""Why a measurement cannot be trusted, each reason with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgeseg.core.measurement import Environment, PairedRatio
from edgeseg.device.statistics import summarize

MIN_RUNS = 30
"""Fewer runs leave the 95% interval of the median spanning more than a third of all samples."""
MAX_SPREAD = 1.25
"""p90 / p50. Above it one run in ten is a quarter slower than the typical one: something else runs,
or the clock moves. The gains worth choosing an engine for (8% and up) drown in that."""
MAX_DRIFT = 0.05
"""Change of the median from the first half to the second. A steady engine has none: warm-up was too
short or the machine is changing its clock. Counted only where the two intervals lie apart."""
MAX_CLOCK_DROP = 0.10
"""Fall of the mean clock from before to after. Latency follows the clock one to one."""
MAX_OTHERS = 0.10
"""Share of the usable cores that other processes took. An engine with one thread per core waits for
its slowest thread, so even a little of one core delays the whole run."""
MAX_RATIO_WIDTH = 1.5
"""high / low of a paired ratio's interval. Wider, it does not tell which side is faster by how much."""


def sample_reasons(samples_ms: Sequence[float], clock: str) -> Iterator[str]:
    """What is wrong with one series of samples, in the order they were taken."""
    if len(samples_ms) < MIN_RUNS:
        yield f"{clock}: {len(samples_ms)} runs, at least {MIN_RUNS} are needed; raise --min-runs"
        return
    whole = summarize(samples_ms)
    spread = whole.p90 / whole.p50
    if spread > MAX_SPREAD:
        yield (
            f"{clock}: p90 is {spread:.2f} times the median (limit {MAX_SPREAD}); "
            "stop other programs, fix the clocks, or compare with --vs, which cancels shared noise"
        )
    half = len(samples_ms) // 2
    first, second = summarize(samples_ms[:half]), summarize(samples_ms[half:])
    drift = second.p50 / first.p50 - 1
    apart = first.p50_high < second.p50_low or second.p50_high < first.p50_low
    if abs(drift) > MAX_DRIFT and apart:
        yield (
            f"{clock}: the second half is {abs(drift):.1%} {'slower' if drift > 0 else 'faster'} "
            f"than the first (limit {MAX_DRIFT:.0%}); raise --warmup, or cool the device and fix its clocks"
        )


def environment_reasons(before: Environment, after: Environment) -> Iterator[str]:
    """What changed in the machine between two moments."""
    if before.throttle_events is not None and after.throttle_events is not None:
        events = after.throttle_events - before.throttle_events
        if events > 0:
            yield f"the CPU was throttled {events} times by its temperature; improve the cooling"
    if before.cpu_mhz and after.cpu_mhz and after.cpu_mhz < before.cpu_mhz * (1 - MAX_CLOCK_DROP):
        yield (
            f"the CPU clock fell from {before.cpu_mhz:.0f} to {after.cpu_mhz:.0f} MHz "
            f"(limit {MAX_CLOCK_DROP:.0%}); fix the governor or the power mode"
        )
    if before.power_mode != after.power_mode:
        yield f"the power mode changed from {before.power_mode} to {after.power_mode}; keep it fixed"
    slowed = [k for k in ("thermal_slowdown", "hardware_slowdown") if after.gpu.get(k) == "Active"]
    if slowed:
        what = " and ".join(slowed).replace("_", " ")
        yield f"the GPU reports {what}; improve the cooling or the power supply"


def others_reasons(share: float | None) -> Iterator[str]:
    """`share`: of the usable cores, taken by other processes during the run; None: unknown."""
    if share is not None and share > MAX_OTHERS:
        yield (
            f"other processes took {share:.0%} of the cores this process may use (limit {MAX_OTHERS:.0%}); "
            "stop them, or pin to free cores with --cpus"
        )


def ratio_reasons(ratio: PairedRatio) -> Iterator[str]:
    """Why a paired ratio cannot be trusted. Noise that both sides share is no reason."""
    if ratio.high > ratio.low * MAX_RATIO_WIDTH:
        yield (
            f"{ratio.clock}: the interval {ratio.low:.2f} to {ratio.high:.2f} is too wide to tell; "
            "raise --openings or stop other programs"
        )
