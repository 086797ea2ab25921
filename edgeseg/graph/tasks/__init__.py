"""How the deploy graph of a task ends: what `runtime/tasks` says in NumPy, as ONNX. One task per file; it
registers `NAMES` and has `task(name)`."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray
from onnx import ModelProto

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.plugins import PluginFolder
from edgeseg.core.preprocess import Placement
from edgeseg.core.quantization import ScoreGrid
from edgeseg.errors import ModelError
from edgeseg.graph.writer import Writer

__all__ = ["TAILS", "GraphTask", "tail_of"]

TAILS = PluginFolder("edgeseg.graph.tasks", "task", listing="edgeseg schema tasks", error=ModelError)


class GraphTask(Protocol):
    """
    Attributes:
        trials: so many roundings show what golden frames compare: one, where a decision's neighbours show how
            far rounding moves it.
    """

    trials: int

    def write(
        self,
        write: Writer,
        plain: ModelProto,
        spec: ModelSpec,
        place: Placement,
        *,
        confidence: bool,
        score_grid: ScoreGrid | None,
    ) -> None:
        """Append the nodes from the outputs of the network to those that `RuntimeTask.outputs` names.

        Args:
            plain: the network as it came; `write.editor` holds the graph that becomes the deploy graph.
            score_grid: uint8 levels that a class decision may read instead of scores.

        Raises:
            GraphError: the network has no outputs that the task can read.
        """
        ...

    def write_tile(
        self, write: Writer, plain: ModelProto, spec: ModelSpec, place: Placement
    ) -> tuple[TensorInfo, ...]:
        """The same of an engine for tiles, to what `RuntimeTask.merge` reads.

        Args:
            place: of a tile.

        Returns:
            The outputs of the graph.
        """
        ...

    def exact(self, scores: Any, spec: ModelSpec, place: Placement) -> Any:
        """What `unmoved` compares others with, of the scores of the network (`RuntimeTask.scores`)."""
        ...

    def unmoved(
        self, exact: Any, scores: Any, spec: ModelSpec, place: Placement, step: float
    ) -> NDArray[Any]:
        """Marks of the decisions that rounding leaves alone, as `RuntimeTask.marks` describes them. What
        several roundings leave alone is marked in all of them (`&`).

        Args:
            scores: of the network that rounds.
            step: distance of two scores that the decision still tells apart.
        """
        ...


def tail_of(spec: ModelSpec) -> GraphTask:
    """Raises ModelError, listing the tasks, for a task that has none."""
    found: GraphTask = TAILS.load(spec.task).task(spec.task)
    return found
