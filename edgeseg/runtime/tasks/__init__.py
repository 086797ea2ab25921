"""What a network decides, and what an engine returns of it. One task per file; it registers `NAMES` and has
`task(name)`.

A task says here which outputs its engine has, what they are in NumPy, and when two of them are equal. How the
engine computes them stands in `graph/tasks`, how right they are in `metrics/tasks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.plugins import PluginFolder
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Placement, Size
from edgeseg.errors import EdgesegError, ModelError
from edgeseg.runtime.tiles import Grid

__all__ = ["TASKS", "Outputs", "Result", "RuntimeTask", "decided", "task_named", "task_of"]

TASKS = PluginFolder("edgeseg.runtime.tasks", "task", listing="edgeseg schema tasks", error=ModelError)

CONFIDENCE = "confidence"
"""Name of the output that bundles have where it is asked for."""
SCORES = "tile_scores"
"""Name of what maps of a tile are decided from, where the tiles of a frame are averaged before."""

Outputs = dict[str, Array]
"""What an engine returns, by name: of N frames [N,...], all shapes fixed, or of one frame without the N."""


class Result(Protocol):
    """What a session returns: a named tuple of the arrays of one frame, or of N frames.

    Attributes:
        confidence: float32, None where the bundle was exported without it.
    """

    @property
    def confidence(self) -> NDArray[Any] | None: ...


class RuntimeTask(Protocol):
    """
    Attributes:
        name: as a network states it (`ModelSpec.task`).
        decisions: what is decided one by one, in a word.
        slips: so many of them may disagree with golden frames where one of a semantic network may.
        tiles: its outputs for tiles become one result.
    """

    name: str
    decisions: str
    slips: float
    tiles: bool

    def classes(self, channels: int) -> int:
        """How many classes a network with so many channels of scores has."""
        ...

    def exclusive(self, channels: int) -> bool:
        """Whether the channels share one decision, as behind a softmax; else each has a threshold."""
        ...

    def require_classes(self, who: str, count: int, error: type[EdgesegError] = ModelError) -> None:
        """Raise `error` for more classes than the outputs hold."""
        ...

    def outputs(
        self, spec: ModelSpec, batch: int, camera: Size, *, confidence: bool = False
    ) -> tuple[TensorInfo, ...]:
        """Names, dtypes and shapes of the engine's outputs; CONFIDENCE last.

        Args:
            camera: (height, width) of the camera's frames; maps have the size that the network sees of them.
        """
        ...

    def merge(self, tiles: Iterable[Outputs], spec: ModelSpec, grid: Grid, whole: Outputs) -> None:
        """Write the outputs of a frame to the arrays `whole`, [1,...], of which CONFIDENCE may be one.

        Args:
            tiles: what an engine for tiles has for each, in the order of `grid`; read one by one.
        """
        ...

    def read(self, spec: ModelSpec, names: Sequence[str]) -> tuple[str, ...]:
        """Which of the outputs `names` of a network count."""
        ...

    def scores(self, network: Outputs, spec: ModelSpec) -> Any:
        """Those outputs of a network that count, as `decode` takes them."""
        ...

    def decode(self, scores: Any, spec: ModelSpec, placement: Placement) -> Outputs:
        """What the engine returns for what the network gives, but the confidence.

        Args:
            scores: of N frames: float32 [N,C,H,W], the network output that counts; of a task with several,
                as its network gives them.
            placement: where the frames lie in the network input.
        """
        ...

    def found(self, outputs: Outputs, spec: ModelSpec, camera: Size) -> Any:
        """What is drawn and scored: of N frames a sequence of N, such as an array [N,...].

        Args:
            camera: (height, width) of the camera's frames.
        """
        ...

    def result(self, outputs: Outputs, spec: ModelSpec, camera: Size) -> Result: ...

    def remark(self, outputs: Outputs) -> str:
        """What the user should know about these outputs; empty: nothing."""
        ...

    def fault(self, outputs: Outputs, spec: ModelSpec) -> str:
        """Why these cannot be outputs of this network; empty: they may."""
        ...

    def same(self, a: Outputs, b: Outputs) -> NDArray[Any]:
        """Which things are equal in all that was decided about them: bool [N,...], such as pixels [N,H,W]."""
        ...

    def marks(self, outputs: Outputs) -> tuple[str, tuple[int, ...]]:
        """Dtype and shape of the marks of decisions that golden frames compare, for frames with such
        outputs; `graph/tasks` makes them."""
        ...

    def agreeing(self, a: Outputs, b: Outputs, marks: NDArray[Any]) -> tuple[int, int]:
        """How many of the marked decisions are equal, and how many are marked."""
        ...

    def share(self, marks: NDArray[Any], spec: ModelSpec) -> float:
        """The share of all decisions that is marked."""
        ...


def task_named(name: str) -> RuntimeTask:
    """Raises ModelError, listing the tasks, for a name that is not registered."""
    found: RuntimeTask = TASKS.load(name).task(name)
    return found


def task_of(spec: ModelSpec) -> RuntimeTask:
    return task_named(spec.task)


def decided(scores: Any, spec: ModelSpec, placement: Placement) -> Any:
    """What the task finds in N frames; arguments as of `RuntimeTask.decode`."""
    task = task_of(spec)
    return task.found(task.decode(scores, spec, placement), spec, placement.camera)
