"""Measurements as short plain text, and what they mean against a budget."""

from __future__ import annotations

from collections.abc import Iterator

from edgeseg.core.measurement import Environment, Measurement, PairedRatio, Percentiles
from edgeseg.core.verdict import Verdict


def judge(measurement: Measurement, max_p99_ms: float | None, *ratios: PairedRatio) -> Verdict:
    """A budget on a measurement, with the ratios it was compared by.

    With ratios, the comparison is what counts: noise that both sides share does not make it invalid,
    unless there is also a budget in milliseconds.
    """
    absolute = not ratios or max_p99_ms is not None
    reasons = [*(measurement.reasons if absolute else ()), *(r for ratio in ratios for r in ratio.reasons)]
    if reasons:
        return Verdict(status="invalid", reasons=tuple(reasons))
    if max_p99_ms is None:
        return Verdict(status="pass")
    p99 = measurement.host.p99
    if p99 is None:
        reason = f"p99 needs 1,000 runs, there are {measurement.host.count}; use --min-runs 1000"
        return Verdict(status="invalid", reasons=(reason,))
    if p99 > max_p99_ms:
        return Verdict(status="fail", reasons=(f"p99 of host_ms is {p99:.2f}, the budget {max_p99_ms:.2f}",))
    return Verdict(status="pass")


def unjudged(max_p99_ms: float | None, missing: str) -> tuple[Verdict, ...]:
    """A limit on the 99th percentile that nothing was measured for; nothing where there is no limit.

    Args:
        missing: why.
    """
    if max_p99_ms is None:
        return ()
    reason = f"p99: the budget limits it to {max_p99_ms:g} ms, but {missing}"
    return (Verdict(status="unjudged", reasons=(reason,)),)


def measurement_text(measurement: Measurement) -> str:
    """Some lines, times in milliseconds."""
    m = measurement
    lines = [
        f"{m.bundle}  {m.target}  {m.engine_version}",
        f"  device  {_percentiles(m.device)}",
        f"  host    {_percentiles(m.host)}",
        f"  first frame {m.first_frame_ms:.1f} ms"
        + _optional(", {:.1f} frames/s", m.throughput_fps)
        + f" ({m.streams} stream{'s' * (m.streams > 1)}, batch {m.batch})"
        + _optional(", {:.1f} MB", m.memory_mb),
        f"  {m.threads} threads"
        + (f" on cores {', '.join(map(str, m.cpus))}" if m.cpus else "")
        + "".join(f", {part}" for part in _machine(m.after)),
        *(f"  note: {note}" for note in m.notes),
        *(f"  INVALID: {reason}" for reason in m.reasons),
    ]
    return "\n".join(lines)


def ratio_text(ratio: PairedRatio) -> str:
    """One line, and one more per reason against it."""
    line = (
        f"{ratio.clock}: {ratio.a} takes {ratio.ratio:.3f} times as long as {ratio.b} "
        f"(95% {ratio.low:.3f} to {ratio.high:.3f}, "
        f"{ratio.openings} openings, {ratio.blocks} pairs of blocks)"
    )
    return "\n".join((line, *(f"  INVALID: {reason}" for reason in ratio.reasons)))


def _percentiles(p: Percentiles) -> str:
    text = f"p50 {p.p50:.3f} ms (95% {p.p50_low:.3f} to {p.p50_high:.3f}), p90 {p.p90:.3f}"
    return text + _optional(", p99 {:.3f}", p.p99) + f", min {p.minimum:.3f}, {p.count} runs"


def _machine(environment: Environment) -> Iterator[str]:
    yield environment.cpu
    yield f"{environment.cores} cores"
    if environment.cpu_mhz is not None:
        yield f"{environment.cpu_mhz:.0f} MHz"
    if environment.power_mode is not None:
        yield environment.power_mode
    if environment.temperature_c is not None:
        yield f"{environment.temperature_c:.0f} °C"
    if environment.gpu:
        yield environment.gpu.get("name", "GPU")


def _optional(form: str, value: float | None) -> str:
    return "" if value is None else form.format(value)
