"""Milliseconds of plain ONNX graphs on a target: what pruning decides by."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from edgeseg.backends import backend_for
from edgeseg.core.bundle import EngineRecord
from edgeseg.core.ports import Backend, BuildSettings, Engine, Lap, OpenSettings, Request
from edgeseg.core.target import Target
from edgeseg.core.whole import Scratch
from edgeseg.device.layers import by_node
from edgeseg.device.measurable import require_measurable
from edgeseg.device.statistics import paired_ratio
from edgeseg.device.timing import PRUNING, SETTLE_RUNS, Effort, alternate, collect

EFFORT = Effort(runs=4, seconds=0.06)
PROFILED_RUNS = 20
WARMUP = 3
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class EngineStopwatch:
    """A `Stopwatch` that builds each file for the target and runs it on random float32 inputs.

    Quick measurements to compare candidates with; what is promised is measured by `edgeseg bench`. Both
    methods raise MissingDevice for a target that cannot be built and run here, UnsupportedOperator for a
    graph that the engine refuses.

    Args:
        cache: folder for timing caches.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache

    def race(self, graphs: Sequence[Path], target: Target) -> tuple[Lap, ...]:
        with ExitStack() as made_now:
            made = [made_now.enter_context(self._made(graph, target)) for graph in graphs]
            taken = alternate(
                [partial(_opened, one, OpenSettings(cache=one.cache)) for one in made],
                lambda opened: _milliseconds(opened.request, SETTLE_RUNS),
                PRUNING,
            )
        names = [graph.stem for graph in graphs]
        return tuple(
            Lap(
                milliseconds=statistics.median(ms for blocks in one for block in blocks for ms in block),
                over_first=paired_ratio(one, taken[0], a=name, b=names[0], clock="device") if index else None,
            )
            for index, (one, name) in enumerate(zip(taken, names))
        )

    def layers(self, graph: Path, target: Target) -> Mapping[str, float]:
        with self._made(graph, target) as made, _opened(made, OpenSettings(profile=True)) as opened:
            taken = []
            for _ in range(PROFILED_RUNS):
                opened.request.execute()
                layers = opened.engine.layers()
                taken.append([layer.milliseconds or 0.0 for layer in layers])
            nodes = _weighted(graph, made.graph)
        return by_node(layers, np.median(taken, axis=0).tolist(), nodes)

    @contextmanager
    def _made(self, graph: Path, target: Target) -> Iterator[_Made]:
        import onnx

        from edgeseg.graph.engine_graph import engine_graph

        backend = backend_for(target)
        require_measurable(target)
        with Scratch() as place:
            typed = place / "typed.onnx"
            onnx.save(engine_graph(onnx.load(str(graph)), backend, target.precision, None).model, str(typed))
            (place / "engine").mkdir()
            built = backend.build(typed, target, place / "engine", BuildSettings(cache=self._cache))
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
            yield _Made(typed, place / "engine" / built.entry, record, backend, place / "cache")


@dataclass(frozen=True)
class _Made:
    """
    Attributes:
        graph: what the engine was built from.
        cache: what its first opening compiles for the next ones.
    """

    graph: Path
    entry: Path
    record: EngineRecord
    backend: Backend
    cache: Path


@dataclass(frozen=True)
class _Opened:
    """
    Attributes:
        request: with its inputs written.
    """

    engine: Engine
    request: Request


@contextmanager
def _opened(made: _Made, settings: OpenSettings) -> Iterator[_Opened]:
    """Warmed up."""
    engine = made.backend.open(made.entry, made.record, settings)
    try:
        request = engine.request()
        rng = np.random.default_rng(0)
        request.write({i.name: rng.normal(size=i.shape).astype(i.dtype) for i in engine.inputs})
        for _ in range(WARMUP):
            request.execute()
        yield _Opened(engine, request)
    finally:
        engine.close()


def _milliseconds(request: Request, warmup: int) -> list[float]:
    """Device milliseconds of one turn."""
    taken: list[float] = []
    collect(lambda: taken.append(request.execute()), EFFORT, warmup=warmup)
    return taken[warmup:]


def _weighted(graph: Path, typed: Path) -> dict[str, str]:
    """Names under which an engine may tell the weighted nodes of `typed`, to the name in `graph`.

    Engines call a layer by its node, by the tensor it makes, or by the tensor that the activation fused into
    it makes; `graph.upsampling` splits X into X/part0, X/part1.
    """
    import onnx

    from edgeseg.graph.editor import Editor

    known = {n.name for n in onnx.load(str(graph)).graph.node if n.op_type in WEIGHTED}
    editor = Editor(onnx.load(str(typed)))
    names: dict[str, str] = {}
    for node in editor.graph.node:
        if node.op_type in WEIGHTED:
            after = editor.only_consumer(node.output[0])
            aliases = (node.name, node.output[0], *(after.output if after else ()))
            original = node.name if node.name in known else node.name.rpartition("/part")[0]
            names |= dict.fromkeys(aliases, original)
    return names
