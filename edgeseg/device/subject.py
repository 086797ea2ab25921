"""What is measured, and the machine around it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.core.measurement import Environment, Measurement
from edgeseg.core.ports import Array, OpenSettings, Progress, silent
from edgeseg.device.environment import MemoryWatch, others_share, provenance, read_cpu_time, read_environment
from edgeseg.device.settings import BenchSettings
from edgeseg.device.statistics import summarize
from edgeseg.device.timing import Effort, collect, throughput
from edgeseg.device.validity import environment_reasons, others_reasons, sample_reasons
from edgeseg.runtime.check import golden_frames, self_check
from edgeseg.runtime.session import Session
from edgeseg.runtime.tiled import repeated


class Surroundings:
    """The machine before and after a block of work."""

    before: Environment
    after: Environment
    reasons: tuple[str, ...]

    def __enter__(self) -> Surroundings:
        self.before = read_environment()
        self._cpu = read_cpu_time()
        return self

    def __exit__(self, *_: object) -> None:
        share = others_share(self._cpu, read_cpu_time())
        self.after = read_environment()
        self.reasons = (*environment_reasons(self.before, self.after), *others_reasons(share))


class Taken(NamedTuple):
    """Milliseconds of the same runs on both clocks, in their order."""

    device: list[float]
    host: list[float]


class Subject:
    """A bundle with a frame to run, opened once or several times.

    Its first opening tells the first frame, the memory and, with several streams, the throughput; the
    self-check is made there.
    """

    def __init__(self, path: Path | str, settings: BenchSettings) -> None:
        self._path, self._settings = path, settings
        self._session: Session | None = None
        self._device: list[float] = []
        self._throughput: float | None = None

    @contextmanager
    def opened(self) -> Iterator[Subject]:
        """Open and warm up; close in the end."""
        first = self._session is None
        with self._first() if first else self._open(self._now.bundle) as self._session:
            self.run(Effort(runs=0, seconds=0.0), warmup=self._settings.warmup)
            yield self
            if first and self._settings.streams > 1:
                self._throughput = self._with_streams()

    def run(self, effort: Effort, *, warmup: int, progress: Progress = silent) -> Taken:
        """One block of runs; `warmup` more before are not recorded."""
        self._device.clear()
        host = collect(self._call, effort, warmup=warmup, progress=progress)
        return Taken(self._device[warmup:], host)

    @property
    def name(self) -> str:
        return self._now.bundle.manifest.name

    def measurement(self, openings: Sequence[Sequence[Taken]], around: Surroundings) -> Measurement:
        """Args: openings: [opening][block]."""
        settings, session = self._settings, self._now
        taken = [block for opening in openings for block in opening]
        device, host = ([ms for block in taken for ms in block[clock]] for clock in range(2))
        reasons = (
            *sample_reasons(device, "device"),
            *sample_reasons(host, "host"),
            *around.reasons,
        )
        return Measurement(
            **provenance(),
            hardware=_hardware(session.bundle, around.before),
            bundle=self.name,
            bundle_id=session.bundle.id,
            target=str(session.target),
            engine_version=session.bundle.engine.engine_version,
            threads=session.engine.threads,
            cpus=settings.cpus or session.target.cpus,
            batch=session.batch,
            streams=settings.streams,
            warmup_runs=settings.warmup,
            device_samples_ms=tuple(device),
            host_samples_ms=tuple(host),
            device=summarize(device),
            host=summarize(host),
            first_frame_ms=self._first_frame_ms,
            throughput_fps=self._throughput or session.batch * 1e3 * len(host) / sum(host),
            memory_mb=self._memory_mb,
            before=around.before,
            after=around.after,
            settings={
                **settings.as_text(),
                "openings": str(len(openings)),
                "blocks": str(len(taken)),
                "device": "cutting, inference and joining of all tiles"
                if session.bundle.engine.tiles
                else "inference alone, input already written",
            },
            valid=not reasons,
            reasons=reasons,
            notes=session.notes,
        )

    @property
    def _now(self) -> Session:
        assert self._session is not None, "not opened yet"
        return self._session

    def _call(self) -> None:
        self._device.append(self._now.timed(self._frame)[1])

    def _first(self) -> Session:
        memory = MemoryWatch()
        start = time.perf_counter()
        session = self._open(Bundle.open(self._path))
        try:
            blank = np.zeros(session.frame.shape(session.batch, *session.camera_size), session.frame.dtype)
            session(blank)
            self._first_frame_ms = (time.perf_counter() - start) * 1e3
            if self._settings.check:
                self_check(session.outputs, session.bundle)
            self._frame = _frame(session.bundle, blank)
            self._memory_mb = memory.growth_mb()
        except BaseException:
            session.close()
            raise
        return session

    def _open(self, bundle: Bundle) -> Session:
        options = OpenSettings(streams=self._settings.streams, cache=self._settings.cache)
        return Session(bundle, options, threads=self._settings.threads, check=False, warm_up=0)

    def _with_streams(self) -> float:
        """Frames per second."""
        settings, session = self._settings, self._now
        calls = throughput(
            lambda: session(self._frame), threads=settings.streams, seconds=settings.throughput_seconds
        )
        return session.batch * calls


def _hardware(bundle: Bundle, here: Environment) -> str:
    """What computes: this CPU, or the GPU or NPU that the engine was built for."""
    built = bundle.engine.hardware
    if built.kind in ("cpu", "any"):
        return here.cpu
    return built.name or here.gpu.get("name", "") or built.kind


def _frame(bundle: Bundle, like: Array) -> Array:
    """One batch of golden frames, so that the timed content is real; black without them."""
    golden = golden_frames(bundle)
    if golden is None:
        return like
    return (
        repeated(golden.frames, like.shape) if bundle.engine.tiles else np.resize(golden.frames, like.shape)
    )
