"""What is measured, and the machine around it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.core.measurement import Environment, Measurement
from edgeseg.core.ports import Array, OpenSettings
from edgeseg.device.environment import MemoryWatch, others_share, read_cpu_time, read_environment
from edgeseg.device.settings import BenchSettings
from edgeseg.device.statistics import summarize
from edgeseg.device.timing import Blocks, flat, throughput
from edgeseg.device.validity import environment_reasons, others_reasons, sample_reasons
from edgeseg.runtime.check import golden_frames, self_check
from edgeseg.runtime.session import Session


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


class Subject:
    """An open bundle with a frame to run, keeping the device milliseconds of every call."""

    def __init__(self, path: Path | str, settings: BenchSettings) -> None:
        self._settings = settings
        memory = MemoryWatch()
        start = time.perf_counter()
        options = OpenSettings(streams=settings.streams, cache=settings.cache)
        self._session = Session(Bundle.open(path), options, threads=settings.threads, check=False, warm_up=0)
        try:
            session = self._session
            blank = np.zeros((session.batch, *session.camera_size, 3), np.uint8)
            session(blank)
            self._first_frame_ms = (time.perf_counter() - start) * 1e3
            if settings.check:
                self_check(session, session.bundle)
            self._frame = _frame(session.bundle, blank)
            self._memory_mb = memory.growth_mb()
        except BaseException:
            self._session.close()
            raise
        self._device: list[float] = []

    @property
    def name(self) -> str:
        return self._session.bundle.manifest.name

    def call(self) -> None:
        self._device.append(self._session.timed(self._frame)[1])

    def device_blocks(self, host: Blocks, settle: int) -> Blocks:
        """The device milliseconds of the recorded runs, in the same blocks as those of the host."""
        blocks, at = [], self._settings.warmup
        for block in host:
            at += settle
            blocks.append(self._device[at : at + len(block)])
            at += len(block)
        return blocks

    def measurement(self, blocks: Blocks, around: Surroundings, *, settle: int) -> Measurement:
        settings, session = self._settings, self._session
        host, device = flat(blocks), flat(self.device_blocks(blocks, settle))
        reasons = (
            *sample_reasons(device, "device"),
            *sample_reasons(host, "host"),
            *around.reasons,
        )
        return Measurement(
            bundle=self.name,
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
            throughput_fps=self._throughput(host),
            memory_mb=self._memory_mb,
            before=around.before,
            after=around.after,
            settings={
                **settings.as_text(),
                "blocks": str(len(blocks)),
                "device": "inference alone, input already written",
            },
            valid=not reasons,
            reasons=reasons,
            notes=session.notes,
        )

    def _throughput(self, host: Sequence[float]) -> float:
        """Frames per second. One stream: what the latency runs reached."""
        settings, session = self._settings, self._session
        if settings.streams == 1:
            return session.batch * 1e3 * len(host) / sum(host)
        calls = throughput(
            lambda: session(self._frame), threads=settings.streams, seconds=settings.throughput_seconds
        )
        return session.batch * calls

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()


def _frame(bundle: Bundle, like: Array) -> Array:
    """One batch of golden frames, so that the timed content is real; black without them."""
    golden = golden_frames(bundle)
    return like if golden is None else np.resize(golden.frames, like.shape)
