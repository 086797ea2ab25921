"""How long a network takes on a target, as a whole against what it was, and layer by layer."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.core.measurement import PairedRatio
from edgeseg.core.ports import Stopwatch
from edgeseg.core.preprocess import Shape
from edgeseg.core.target import Target

if TYPE_CHECKING:
    from torch import nn


class OnTarget:
    """
    Args:
        before: the network that others are compared with; must not change.
        work: folder for the exported files.
    """

    def __init__(
        self, before: nn.Module, shape: Shape, target: str, stopwatch: Stopwatch, work: Path
    ) -> None:
        self._before, self._shape, self._target = before, shape, Target.parse(target)
        self._stopwatch, self._work = stopwatch, work

    def share(self, module: nn.Module) -> PairedRatio:
        """Latency of `module` over that of the network before; both are timed in turn."""
        graphs = (self._file_before, self._exported(module, "candidate"))
        _, now = self._stopwatch.race(graphs, self._target)
        assert now.over_first is not None
        return now.over_first

    def layers(self, module: nn.Module) -> dict[str, float]:
        """Milliseconds of its layers, by name; empty where the engine does not tell."""
        import onnx

        file = self._exported(module, "candidate")
        weights = {n.name: n.input[1] for n in onnx.load(str(file)).graph.node if len(n.input) > 1}
        times = self._stopwatch.layers(file, self._target)
        return {weights[node].removesuffix(".weight"): ms for node, ms in times.items()}

    @cached_property
    def _file_before(self) -> Path:
        return self._exported(self._before, "before")

    def _exported(self, module: nn.Module, name: str) -> Path:
        """As the step `export` writes it."""
        import onnx

        from edgeseg.graph.export import export_torch
        from edgeseg.graph.fold import fold

        self._work.mkdir(parents=True, exist_ok=True)
        path = self._work / f"{name}.onnx"
        onnx.save(fold(export_torch(module, self._shape)), str(path))
        return path
