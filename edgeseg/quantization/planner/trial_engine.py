"""A graph made runnable for a trial: on the target's engine where it runs, else in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from edgeseg.core.bundle import EngineRecord
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array, BuildSettings, Engine, OpenSettings, Request
from edgeseg.core.preprocess import Size
from edgeseg.core.target import Target
from edgeseg.core.whole import Scratch
from edgeseg.device.build import make_engine
from edgeseg.device.layers import by_node
from edgeseg.device.race import EngineFile, RaceSettings, Turn
from edgeseg.device.timing import PLANNING, Effort, Rounds
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.graph.deploy import FRAMES
from edgeseg.graph.editor import shape_of
from edgeseg.quantization.planner.evaluator import Timed
from edgeseg.quantization.ranges.probe import HERE, OpenProbe
from edgeseg.runtime.frames import for_engine
from edgeseg.runtime.tasks import Outputs, task_of

RUNS = 4
"""Of a turn that count, behind one that does not."""


class TrialEngine:
    """Something that can be run. The base cannot be timed.

    Args:
        deploy: as `compose` makes it.
        spec: what its outputs mean; `camera`: (height, width) of its frames.
    """

    file: EngineFile | None = None

    def __init__(self, deploy: ModelProto, spec: ModelSpec, camera: Size) -> None:
        self.batch = int(shape_of(deploy.graph.input[0])[0])
        self._spec, self._camera = spec, camera

    def found(self, frame: Array) -> Any:
        """What the task finds in one frame."""
        outputs = self._outputs(np.stack([frame] * self.batch))
        first = {name: array[0].copy() for name, array in outputs.items()}
        return task_of(self._spec).found(first, self._spec, self._camera)

    def _outputs(self, frames: Array) -> Outputs:
        raise NotImplementedError

    def shut(self) -> None:
        """Free the engine; the next run opens it again."""

    def close(self) -> None:
        """Free the engine for good."""
        self.shut()


class Simulated(TrialEngine):
    """A deploy graph in float32; in ONNX Runtime also between Q/DQ pairs, which OpenVINO runs in int8."""

    def __init__(
        self, deploy: ModelProto, spec: ModelSpec, camera: Size, open_probe: OpenProbe = HERE
    ) -> None:
        super().__init__(deploy, spec, camera)
        self._probe = open_probe(deploy)

    def _outputs(self, frames: Array) -> Outputs:
        return dict(self._probe({FRAMES: frames}))


class Built(TrialEngine):
    """An engine of the target, built by `device` in a temporary folder and opened when it is first run."""

    def __init__(
        self, deploy: ModelProto, spec: ModelSpec, camera: Size, target: Target, device: Device = LOCAL
    ) -> None:
        super().__init__(deploy, spec, camera)
        self._target, self._device = target, device
        self._engine: Engine | None = None
        self._folder = Scratch()
        place = self._folder.path
        onnx.save(deploy, str(place / "deploy.onnx"))
        record = EngineRecord(target=str(target), graph="deploy.onnx", batch=self.batch, camera_size=camera)
        try:
            made, _ = make_engine(record, place, BuildSettings(), backends=device.backend)
        except BaseException:
            self._folder.close()
            raise
        self.file = EngineFile(place / made.entry, made)

    def _outputs(self, frames: Array) -> Outputs:
        request = self._request
        assert self._engine is not None
        request.write({FRAMES: for_engine(frames, self._engine.inputs[0])})
        request.execute()
        return request.read()

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
        assert self.file is not None
        self._engine = self._device.backend(self._target).open(*self.file, OpenSettings())
        return self._engine.request()


def in_turn(
    engines: Sequence[TrialEngine],
    frame: Array,
    names: Sequence[str] = (),
    *,
    rounds: Rounds = PLANNING,
    device: Device = LOCAL,
) -> list[Timed]:
    """Milliseconds of each engine and of its weighted nodes `names`, in turn.

    Args:
        frame: [H,W,C], of every run.
        names: empty: layers are not timed.
    """
    files = []
    for engine in engines:
        engine.shut()
        assert engine.file is not None, "only built engines can be timed"
        files.append(engine.file)
    settings = RaceSettings(rounds=rounds, effort=Effort(runs=RUNS, seconds=0.0), profile=bool(names))
    inputs = {FRAMES: for_engine(np.stack([frame] * engines[0].batch), files[0].record.inputs[0])}
    return timed(device.race(files, settings, inputs), names)


def timed(taken: Sequence[Sequence[Sequence[Turn]]], names: Sequence[str]) -> list[Timed]:
    """What a race tells of each engine.

    Of a layer the median over the turns counts, each turn brought to the pace of the middle one: machines get
    slower and faster.
    """
    each = [[turn for turns in one for turn in turns] for one in taken]
    whole = np.sum([[turn.milliseconds for turn in one] for one in each], axis=(0, 2))
    pace = whole / np.median(whole)
    usual = [np.median(np.array([turn.layer_ms for turn in one]) / pace[:, None], axis=0) for one in each]
    own = {name: name for name in names}
    return [
        Timed(
            openings=[[list(turn.milliseconds) for turn in turns] for turns in openings],
            node_ms=by_node(one[-1].layers, ms.tolist(), own),
        )
        for openings, one, ms in zip(taken, each, usual)
    ]
