"""Engines of this device in turn, on the device clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from edgeseg.backends import backend_for
from edgeseg.core.bundle import EngineRecord
from edgeseg.core.ports import Engine, Layer, OpenSettings, Progress, Request, Tensors, silent
from edgeseg.core.target import Target
from edgeseg.core.whole import Scratch
from edgeseg.device.timing import Effort, Rounds, alternate, collect


class EngineFile(NamedTuple):
    """A built engine on disk.

    Attributes:
        entry: the file it is opened from; what else is in its folder is a part of it.
    """

    entry: Path
    record: EngineRecord


class RaceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        effort: of one turn, behind `settle` runs that do not count.
        warmup: runs after each opening.
        profile: layers are timed too.
        keep_compiled: the first opening compiles for the next ones, where the engine can keep that.
    """

    rounds: Rounds
    effort: Effort
    settle: int = 1
    warmup: int = 1
    profile: bool = False
    keep_compiled: bool = False


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        milliseconds: of each run that counts.
        layers: with their times in the last of them; none where layers are not timed.
    """

    milliseconds: tuple[float, ...]
    layers: tuple[Layer, ...] = ()

    @property
    def layer_ms(self) -> list[float]:
        return [layer.milliseconds or 0.0 for layer in self.layers]


Taken = list[list[list[Turn]]]
"""[engine][opening][turn]"""


def race(
    engines: Sequence[EngineFile],
    settings: RaceSettings,
    inputs: Tensors | None = None,
    progress: Progress = silent,
) -> Taken:
    """Time built engines that take turns, in several openings of all.

    Args:
        inputs: of every run; None: noise.

    Raises what opening and running an engine raise.
    """
    with Scratch() as place:
        caches = [place / str(number) if settings.keep_compiled else None for number in range(len(engines))]
        opened = [partial(_opened, *each, settings, inputs) for each in zip(engines, caches)]
        return alternate(opened, partial(_turn, settings=settings), settings.rounds, progress)


class _Opened(NamedTuple):
    engine: Engine
    request: Request


@contextmanager
def _opened(
    file: EngineFile, cache: Path | None, settings: RaceSettings, inputs: Tensors | None
) -> Iterator[_Opened]:
    """Warmed up, with its inputs written."""
    backend = backend_for(Target.parse(file.record.target))
    engine = backend.open(file.entry, file.record, OpenSettings(cache=cache, profile=settings.profile))
    try:
        request = engine.request()
        request.write(_noise(engine) if inputs is None else inputs)
        for _ in range(settings.warmup):
            request.execute()
        yield _Opened(engine, request)
    finally:
        engine.close()


def _turn(opened: _Opened, settings: RaceSettings) -> Turn:
    taken: list[float] = []
    run: Callable[[], None] = lambda: taken.append(opened.request.execute())  # noqa: E731
    collect(run, settings.effort, warmup=settings.settle)
    layers = opened.engine.layers() if settings.profile else ()
    return Turn(milliseconds=tuple(taken[settings.settle :]), layers=layers)


def _noise(engine: Engine) -> Tensors:
    rng = np.random.default_rng(0)
    return {one.name: rng.normal(size=one.shape).astype(one.dtype) for one in engine.inputs}
