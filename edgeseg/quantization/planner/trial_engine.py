"""A graph made runnable for a trial: on the target's engine where it runs here, else in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import NamedTuple

import numpy as np
import onnx
from onnx import ModelProto

from edgeseg.backends import backend_for
from edgeseg.core.bundle import EngineRecord
from edgeseg.core.ports import Array, BuildSettings, Engine, Layer, OpenSettings, Request
from edgeseg.core.target import Target
from edgeseg.core.whole import Scratch
from edgeseg.device.build import make_engine
from edgeseg.device.layers import by_node
from edgeseg.device.timing import PLANNING, Rounds, alternate
from edgeseg.graph.deploy import CLASS_MAP, FRAMES
from edgeseg.graph.editor import shape_of
from edgeseg.quantization.planner.evaluator import Timed
from edgeseg.quantization.ranges.probe import ProbeEngine, open_probe

RUNS = 4
"""Of a turn that count, behind one that does not."""


class TrialEngine:
    """Something that can be run. The base cannot be timed.

    Args:
        deploy: from frames to class maps, as `compose` makes it.
    """

    def __init__(self, deploy: ModelProto) -> None:
        self.batch = int(shape_of(deploy.graph.input[0])[0])

    def class_map(self, frame: Array) -> Array:
        """uint8 [H,W,3] to uint8 [H,W]."""
        raise NotImplementedError

    def execute(self) -> float:
        """Milliseconds of one run."""
        raise NotImplementedError

    def layers(self) -> Sequence[Layer]:
        """With the times of the last run; none where layers are not timed."""
        return ()

    @contextmanager
    def opened(self) -> Iterator[TrialEngine]:
        """Opened anew and run once; not open afterwards."""
        self.shut()
        try:
            self.execute()
            yield self
        finally:
            self.shut()

    def shut(self) -> None:
        """Free the engine; the next run opens it again."""

    def close(self) -> None:
        """Free the engine for good."""
        self.shut()


class Simulated(TrialEngine):
    """A deploy graph in float32; in ONNX Runtime also between Q/DQ pairs, which OpenVINO runs in int8."""

    def __init__(self, deploy: ModelProto, engine: ProbeEngine = "onnxruntime", threads: int = 2) -> None:
        super().__init__(deploy)
        self._probe = open_probe(deploy, engine, threads=threads)

    def class_map(self, frame: Array) -> Array:
        return self._probe({FRAMES: np.stack([frame] * self.batch)})[CLASS_MAP][0].copy()


class Built(TrialEngine):
    """An engine of the target in a temporary folder, opened when it is first run."""

    def __init__(self, deploy: ModelProto, target: Target, frame: Array, profile: bool) -> None:
        super().__init__(deploy)
        self._target, self._frame, self._profile = target, frame, profile
        self._engine: Engine | None = None
        self._folder = Scratch()
        place = self._folder.path
        onnx.save(deploy, str(place / "deploy.onnx"))
        record = EngineRecord(
            target=str(target),
            graph="deploy.onnx",
            batch=self.batch,
            camera_size=(frame.shape[0], frame.shape[1]),
        )
        try:
            self._record, _ = make_engine(record, place, BuildSettings())
        except BaseException:
            self._folder.close()
            raise

    def class_map(self, frame: Array) -> Array:
        request = self._request
        self._write(request, frame)
        request.execute()
        return request.read()[CLASS_MAP][0]

    def execute(self) -> float:
        return self._request.execute()

    def layers(self) -> Sequence[Layer]:
        return self._engine.layers() if self._engine and self._profile else ()

    def shut(self) -> None:
        self.__dict__.pop("_request", None)
        if self._engine:
            self._engine.close()
        self._engine = None

    def close(self) -> None:
        self.shut()
        self._folder.close()

    @cached_property
    def _request(self) -> Request:
        place = self._folder.path
        settings = OpenSettings(profile=self._profile)
        self._engine = backend_for(self._target).open(place / self._record.entry, self._record, settings)
        request = self._engine.request()
        self._write(request, self._frame)
        return request

    def _write(self, request: Request, frame: Array) -> None:
        request.write({FRAMES: np.stack([frame] * self.batch)})


def in_turn(
    engines: Sequence[TrialEngine], names: Sequence[str] = (), *, rounds: Rounds = PLANNING
) -> list[Timed]:
    """Milliseconds of each engine and of its weighted nodes `names`, in turn.

    Of a layer the median over the turns counts, each turn brought to the pace of the middle one: machines get
    slower and faster.
    """
    for engine in engines:
        engine.shut()
    laps = alternate([engine.opened for engine in engines], _turn, rounds)
    openings = [[[turn.runs for turn in turns] for turns in one] for one in laps]
    each = [[turn for turns in one for turn in turns] for one in laps]
    whole = np.sum([[turn.runs for turn in one] for one in each], axis=(0, 2))
    pace = whole / np.median(whole)
    usual = [np.median(np.array([turn.layer_ms for turn in one]) / pace[:, None], axis=0) for one in each]
    own = {name: name for name in names}
    return [
        Timed(openings=opened, node_ms=by_node(one[-1].layers, ms.tolist(), own))
        for opened, one, ms in zip(openings, each, usual)
    ]


class _Turn(NamedTuple):
    """Milliseconds of the runs of a turn, and of each layer in the last of them."""

    runs: list[float]
    layers: Sequence[Layer]

    @property
    def layer_ms(self) -> list[float]:
        return [layer.milliseconds or 0.0 for layer in self.layers]


def _turn(engine: TrialEngine) -> _Turn:
    engine.execute()
    return _Turn([engine.execute() for _ in range(RUNS)], engine.layers())
