"""Milliseconds of a plain ONNX graph on a target: what pruning and planning decide by."""

from __future__ import annotations

import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgeseg.backends import backend_for
from edgeseg.core.bundle import EngineRecord
from edgeseg.core.ports import Backend, BuildSettings, OpenSettings
from edgeseg.core.target import Target
from edgeseg.device.timing import Effort, collect
from edgeseg.errors import MissingDevice

EFFORT = Effort(runs=20, seconds=0.3)
WARMUP = 3


def measure_graph(graph: Path, target: Target, *, cache: Path | None = None) -> float:
    """Median device milliseconds of an ONNX file with float32 inputs, on random inputs.

    A quick measurement to compare candidates with; what is promised is measured by `edgeseg bench`.

    Raises:
        MissingDevice: the target cannot be built and run here.
        UnsupportedOperator: the engine refuses the graph.
    """
    backend = backend_for(target)
    can = backend.availability(target)
    if not (can.build and can.run):
        raise MissingDevice(
            f"the latency on {target} cannot be measured here: {can.reason}",
            expected="a target this machine can build and run",
            hint=can.fix or "run `edgeseg targets` to see them",
        )
    with TemporaryDirectory() as folder:
        place = Path(folder)
        typed = _typed(graph, backend, target, place / "typed.onnx")
        (place / "engine").mkdir()
        built = backend.build(typed, target, place / "engine", BuildSettings(cache=cache))
        record = EngineRecord(
            target=str(target),
            graph=typed.name,
            entry=built.entry,
            engine_version=built.engine_version,
            hardware=built.hardware,
            camera_size=(1, 1),
            inputs=built.inputs,
            outputs=built.outputs,
            settings=built.settings,
        )
        engine = backend.open(place / "engine" / built.entry, record, OpenSettings())
        try:
            request = engine.request()
            rng = np.random.default_rng(0)
            request.write({i.name: rng.normal(size=i.shape).astype(i.dtype) for i in engine.inputs})
            device: list[float] = []
            collect(lambda: device.append(request.execute()), EFFORT, warmup=WARMUP)
        finally:
            engine.close()
    return statistics.median(device[WARMUP:])


def _typed(graph: Path, backend: Backend, target: Target, place: Path) -> Path:
    """The graph as the step `build` would hand it to the engine."""
    import onnx

    from edgeseg.graph.typed import typed
    from edgeseg.graph.upsampling import merge_upsampling

    model = onnx.load(str(graph))
    if backend.merges_upsampling:
        model = merge_upsampling(model)
    model, _ = typed(model, backend, target.precision, dict)
    onnx.save(model, str(place))
    return place
