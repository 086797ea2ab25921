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
from edgeseg.device.layers import by_node
from edgeseg.graph._edit import shape_of
from edgeseg.graph.deploy import CLASS_MAP, FRAMES
from edgeseg.quantize.planner_lab import Timed
from edgeseg.quantize.probe import ProbeEngine, open_probe

TURNS, BRIEF, RUNS = 10, 4, 4
"""Engines take turns, in a brief race fewer; each turn is one run that is not counted and RUNS that are."""


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

    def close(self) -> None:
        """Free the engine."""


class Simulated(TrialEngine):
    """A deploy graph in float32; in ONNX Runtime also between Q/DQ pairs, which OpenVINO runs in int8."""

    def __init__(self, deploy: ModelProto, engine: ProbeEngine = "onnxruntime", threads: int = 2) -> None:
        super().__init__(deploy)
        self._probe = open_probe(deploy, engine, threads=threads)

    def class_map(self, frame: Array) -> Array:
        return self._probe({FRAMES: np.stack([frame] * self.batch)})[CLASS_MAP][0].copy()


class Built(TrialEngine):
    """An engine of the target in a temporary folder."""

    def __init__(self, deploy: ModelProto, target: Target, frame: Array, profile: bool) -> None:
        super().__init__(deploy)
        self._profile = profile
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

    def layers(self) -> Sequence[Layer]:
        return self._engine.layers() if self._profile else ()

    def close(self) -> None:
        self._engine.close()
        self._folder.cleanup()

    def _write(self, frame: Array) -> None:
        self._request.write({FRAMES: np.stack([frame] * self.batch)})


def in_turn(engines: Sequence[TrialEngine], names: Sequence[str] = (), *, turns: int = TURNS) -> list[Timed]:
    """Milliseconds of each engine and of its weighted nodes `names`; every second turn goes backwards.

    Of a layer the median over the turns counts, each turn brought to the pace of the middle one: machines get
    slower and faster.
    """
    blocks: list[list[list[float]]] = [[] for _ in engines]
    layers: list[Sequence[Layer]] = [() for _ in engines]
    taken: list[list[list[float]]] = [[] for _ in engines]
    for turn in range(turns):
        order = range(len(engines)) if turn % 2 == 0 else reversed(range(len(engines)))
        for index in order:
            engines[index].execute()
            blocks[index].append([engines[index].execute() for _ in range(RUNS)])
            layers[index] = engines[index].layers()
            taken[index].append([layer.milliseconds or 0.0 for layer in layers[index]])
    whole = np.sum(blocks, axis=(0, 2))
    pace = whole / np.median(whole)
    usual = [np.median(np.array(one) / pace[:, None], axis=0).tolist() for one in taken]
    own = {name: name for name in names}
    return [Timed(blocks=b, node_ms=by_node(i, ms, own)) for b, i, ms in zip(blocks, layers, usual)]
