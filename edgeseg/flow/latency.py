"""Milliseconds of plain ONNX graphs on a target: what pruning decides by."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from edgeseg.core.bundle import EngineRecord
from edgeseg.core.ports import BuildSettings, Lap
from edgeseg.core.target import Target
from edgeseg.core.whole import Scratch
from edgeseg.device.build import make_engine
from edgeseg.device.layers import by_node
from edgeseg.device.measurable import require_measurable
from edgeseg.device.race import EngineFile, RaceSettings
from edgeseg.device.statistics import paired_ratio
from edgeseg.device.timing import PRUNING, SETTLE_RUNS, Effort, Rounds
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL

RACE = RaceSettings(
    rounds=PRUNING,
    effort=Effort(runs=4, seconds=0.06),
    settle=SETTLE_RUNS,
    warmup=3,
    keep_compiled=True,
)
PROFILE = msgspec.structs.replace(
    RACE, rounds=Rounds(1, 20), effort=Effort(runs=1, seconds=0.0), settle=0, profile=True
)
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class EngineStopwatch:
    """A `Stopwatch` that builds each file for the target and runs it on noise.

    Quick measurements to compare candidates with; what is promised is measured by `edgeseg bench`. Both
    methods raise MissingDevice for a target that cannot be built and run on the device, UnsupportedOperator
    for a graph that the engine refuses.

    Args:
        cache: folder for timing caches.
    """

    def __init__(self, cache: Path | None = None, device: Device = LOCAL) -> None:
        self._cache, self._device = cache, device

    def race(self, graphs: Sequence[Path], target: Target) -> tuple[Lap, ...]:
        with ExitStack() as made_now:
            files = [made_now.enter_context(self._made(graph, target)).file for graph in graphs]
            found = self._device.race(files, RACE)
        taken = [[[turn.milliseconds for turn in turns] for turns in one] for one in found]
        names = [graph.stem for graph in graphs]
        return tuple(
            Lap(
                milliseconds=statistics.median(ms for blocks in one for block in blocks for ms in block),
                over_first=paired_ratio(one, taken[0], a=name, b=names[0], clock="device") if index else None,
            )
            for index, (one, name) in enumerate(zip(taken, names))
        )

    def layers(self, graph: Path, target: Target) -> Mapping[str, float]:
        with self._made(graph, target) as made:
            (((*turns,),),) = self._device.race([made.file], PROFILE)
            nodes = _weighted(graph, made.graph)
        return by_node(turns[-1].layers, np.median([turn.layer_ms for turn in turns], axis=0).tolist(), nodes)

    @contextmanager
    def _made(self, graph: Path, target: Target) -> Iterator[_Made]:
        import onnx

        from edgeseg.graph.engine_graph import engine_graph

        require_measurable(target, self._device.backend)
        backend = self._device.backend(target)
        with Scratch() as place:
            typed = place / "typed.onnx"
            onnx.save(engine_graph(onnx.load(str(graph)), backend, target.precision, None).model, str(typed))
            record = EngineRecord(target=str(target), graph=typed.name, camera_size=(1, 1))
            settings = BuildSettings(cache=self._cache)
            record, _ = make_engine(record, place, settings, backends=self._device.backend)
            yield _Made(typed, EngineFile(place / record.entry, record))


class _Made(NamedTuple):
    """An engine, and the graph that it was built from."""

    graph: Path
    file: EngineFile


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
