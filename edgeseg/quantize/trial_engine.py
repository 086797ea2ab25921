"""A graph made runnable for a trial: on the target's engine where it runs here, else in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import ModelProto

from edgeseg.backends import backend_for
from edgeseg.core.bundle import EngineRecord
from edgeseg.core.ports import Array, BuildSettings, Engine, Layer, OpenSettings
from edgeseg.core.target import Target
from edgeseg.device.build import make_engine
from edgeseg.graph._edit import shape_of
from edgeseg.graph._run import run, session
from edgeseg.graph.deploy import CLASS_MAP, FRAMES

TURNS, RUNS = 10, 4
"""Engines take turns; each turn is one run that is not counted and RUNS that are."""
PROFILED = 8


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

    def node_ms(self, names: Sequence[str]) -> dict[str, float]:
        return {}

    def close(self) -> None:
        """Free the engine."""


class Simulated(TrialEngine):
    """A deploy graph in ONNX Runtime, in float32 arithmetic between its Q/DQ pairs."""

    def __init__(self, deploy: ModelProto) -> None:
        super().__init__(deploy)
        self._session = session(deploy)

    def class_map(self, frame: Array) -> Array:
        return run(self._session, {FRAMES: np.stack([frame] * self.batch)})[CLASS_MAP][0]


class Built(TrialEngine):
    """An engine of the target in a temporary folder."""

    def __init__(self, deploy: ModelProto, target: Target, frame: Array, profile: bool) -> None:
        super().__init__(deploy)
        self._profile = profile
        self._node_ms: dict[str, float] | None = None
        self._folder = TemporaryDirectory(prefix="edgeseg-plan-")
        place = Path(self._folder.name)
        onnx.save(deploy, str(place / "deploy.onnx"))
        record = EngineRecord(
            target=str(target),
            graph="deploy.onnx",
            batch=self.batch,
            camera_size=(frame.shape[0], frame.shape[1]),
        )
        try:
            record, _ = make_engine(record, place, BuildSettings())
            self._engine: Engine = backend_for(target).open(
                place / record.entry, record, OpenSettings(profile=profile)
            )
        except BaseException:
            self._folder.cleanup()
            raise
        self._request = self._engine.request()
        self._write(frame)

    def class_map(self, frame: Array) -> Array:
        self._write(frame)
        self._request.execute()
        return self._request.read()[CLASS_MAP][0]

    def execute(self) -> float:
        return self._request.execute()

    def node_ms(self, names: Sequence[str]) -> dict[str, float]:
        """The least of a few runs for every layer: a busy machine only adds. Measured once."""
        if not self._profile:
            return {}
        if self._node_ms is None:
            self._node_ms = self._profiled(names)
        return self._node_ms

    def _profiled(self, names: Sequence[str]) -> dict[str, float]:
        least: list[float] = []
        for _ in range(PROFILED):
            self._request.execute()
            layers = self._engine.layers()
            taken = [layer.milliseconds or 0.0 for layer in layers]
            least = [min(pair) for pair in zip(least, taken)] if least else taken
        return by_node(layers, least, names)

    def close(self) -> None:
        self._engine.close()
        self._folder.cleanup()

    def _write(self, frame: Array) -> None:
        self._request.write({FRAMES: np.stack([frame] * self.batch)})


def in_turn(engines: Sequence[TrialEngine]) -> list[list[list[float]]]:
    """Milliseconds of each engine, one list per turn; every second turn goes backwards."""
    blocks: list[list[list[float]]] = [[] for _ in engines]
    for turn in range(TURNS):
        order = range(len(engines)) if turn % 2 == 0 else reversed(range(len(engines)))
        for index in order:
            engines[index].execute()
            blocks[index].append([engines[index].execute() for _ in range(RUNS)])
    return blocks


def by_node(layers: Sequence[Layer], taken: Sequence[float], names: Sequence[str]) -> dict[str, float]:
    """Milliseconds of weighted nodes. A layer without one counts for the last node before it, as the sums,
    conversions and activations behind a convolution do; empty where the engine does not name its layers."""
    known = set(names)
    found: dict[str, float] = {}
    current, before = "", 0.0
    for layer, milliseconds in zip(layers, taken):
        own = next((name for name in (*layer.nodes, layer.name) if name in known), "")
        current = own or current
        if current:
            found[current] = found.get(current, 0.0) + milliseconds + before
            before = 0.0
        else:
            before += milliseconds
    return found if 2 * len(found) >= len(known) else {}
