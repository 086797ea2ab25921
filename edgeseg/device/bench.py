"""Latency of a bundle on this machine, alone or against another in alternating blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import msgspec

from edgeseg.backends.cpu import usable_cpus
from edgeseg.core.measurement import Measurement, PairedRatio
from edgeseg.core.ports import Array, Progress, silent
from edgeseg.device.affinity import pinned
from edgeseg.device.environment import provenance
from edgeseg.device.settings import DEFAULT, BenchSettings
from edgeseg.device.statistics import paired_ratio, summarize
from edgeseg.device.subject import Subject, Surroundings, Taken
from edgeseg.device.timing import SETTLE_RUNS, Call, Rounds, alternate, collect
from edgeseg.device.validity import ratio_reasons, sample_reasons

Opener = Callable[[], AbstractContextManager[Call]]

__all__ = ["BenchSettings", "bench", "bench_call", "bench_pair", "compare"]


def bench(path: Path | str, settings: BenchSettings = DEFAULT, progress: Progress = silent) -> Measurement:
    """Time a bundle.

    `host_ms` is a call of the session: frame in, class map out, copies included. `device_ms` is what
    the engine says of the same run: inference alone, its input already written. `first_frame_ms` is
    from opening the bundle (hashes included, self-check not) to the first class map. `memory_mb` is
    the growth of this process until then and through the self-check (see MemoryWatch): in a process
    that has used the engine before, its libraries are there already and do not count again.

    A bundle of the target `null-fp32` measures the harness and its copies.

    Raises:
        BundleError, EngineMismatch, MissingDependency, MissingDevice: as `edgeseg.runtime.load`.
        InputError: settings that measure nothing, or cores that are not here.
    """
    settings.require_sane()
    subject = Subject(path, settings)
    with pinned(settings.cpus), subject.opened():
        with Surroundings() as around:
            taken = subject.run(settings.effort, warmup=settings.warmup, progress=progress)
        return subject.measurement([[taken]], around)


def bench_pair(
    a: Path | str, b: Path | str, settings: BenchSettings = DEFAULT, progress: Progress = silent
) -> tuple[Measurement, Measurement, PairedRatio, PairedRatio]:
    """Time two bundles in alternating blocks in one process, in several openings of both.

    Returns:
        Measurements of A and B, then time of A over time of B on the device and the host clock.
    """
    settings.require_sane()
    subjects = Subject(a, settings), Subject(b, settings)
    with pinned(settings.cpus), Surroundings() as around:
        taken = alternate(
            [subject.opened for subject in subjects],
            lambda subject: subject.run(settings.block, warmup=SETTLE_RUNS),
            Rounds(settings.openings, settings.turns),
            progress,
        )
    names = subjects[0].name, subjects[1].name
    device, host = (
        _judged(
            [[[block[clock] for block in one] for one in side] for side in taken], names, Taken._fields[clock]
        )
        for clock in range(2)
    )
    first, second = (subject.measurement(side, around) for subject, side in zip(subjects, taken))
    return first, second, device, host


def bench_call(
    call: Callable[[Array], object],
    frames: Array,
    name: str,
    settings: BenchSettings = DEFAULT,
    progress: Progress = silent,
) -> Measurement:
    """Time anything that takes frames, such as a network in PyTorch with NumPy before and after it.

    It has one clock: `device` repeats `host`. `threads` is the number of cores it may use, and
    `first_frame_ms` the time of the first call here.

    Args:
        frames: [N,H,W,C], handed to every call.
        name: stands for the bundle and the target.
    """
    settings.require_sane()
    with pinned(settings.cpus):
        start = time.perf_counter()
        call(frames)
        first_frame_ms = (time.perf_counter() - start) * 1e3
        with Surroundings() as around:
            samples = collect(
                lambda: call(frames), settings.effort, warmup=settings.warmup, progress=progress
            )
        cores = len(usable_cpus())
    reasons = (*sample_reasons(samples, "host"), *around.reasons)
    return Measurement(
        **provenance(),
        hardware=around.before.cpu,
        bundle=name,
        target=name,
        engine_version="",
        threads=cores,
        cpus=settings.cpus,
        batch=len(frames),
        streams=1,
        warmup_runs=settings.warmup,
        device_samples_ms=tuple(samples),
        host_samples_ms=tuple(samples),
        device=summarize(samples),
        host=summarize(samples),
        first_frame_ms=first_frame_ms,
        throughput_fps=len(frames) * 1e3 * len(samples) / sum(samples),
        before=around.before,
        after=around.after,
        settings={**settings.as_text(), "device": "no clock of its own: the same samples as host"},
        valid=not reasons,
        reasons=reasons,
    )


def compare(
    open_a: Opener,
    open_b: Opener,
    settings: BenchSettings = DEFAULT,
    *,
    names: tuple[str, str] = ("A", "B"),
    progress: Progress = silent,
) -> tuple[list[float], list[float], PairedRatio]:
    """Time any two callables in alternating blocks on the host clock.

    Args:
        open_a, open_b: make everything anew that luck may depend on, and give the callable, within a context.

    Returns:
        Milliseconds of A and of B in the order taken, and time of A over time of B.
    """
    settings.require_sane()
    with pinned(settings.cpus):
        taken = alternate(
            [partial(_warm, open_one, settings.warmup) for open_one in (open_a, open_b)],
            lambda call: collect(call, settings.block, warmup=SETTLE_RUNS),
            Rounds(settings.openings, settings.turns),
            progress,
        )
    samples_a, samples_b = ([ms for blocks in side for block in blocks for ms in block] for side in taken)
    return samples_a, samples_b, _judged(taken, names, "host")


@contextmanager
def _warm(open_one: Opener, warmup: int) -> Iterator[Call]:
    with open_one() as call:
        for _ in range(warmup):
            call()
        yield call


def _judged(
    sides: Sequence[Sequence[Sequence[Sequence[float]]]], names: tuple[str, str], clock: str
) -> PairedRatio:
    """Args: sides: [A and B][opening][block][run]."""
    ratio = paired_ratio(*sides, a=names[0], b=names[1], clock=clock)
    reasons = tuple(ratio_reasons(ratio))
    return msgspec.structs.replace(ratio, valid=not reasons, reasons=reasons)
