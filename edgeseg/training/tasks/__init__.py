"""What a network learns from: targets from labels, and losses over them. One task per file; it registers
`NAMES` and has `task(name)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.plugins import PluginFolder
from edgeseg.core.ports import Array
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Size
from edgeseg.errors import ModelError

__all__ = ["TARGETS", "Loss", "TrainTask", "Tunes", "training_of"]

TARGETS = PluginFolder("edgeseg.training.tasks", "task", listing="edgeseg schema tasks", error=ModelError)

Loss = Callable[[Any, Any], torch.Tensor]
"""The answer of a network and the targets of a batch to one number; what does not count is left out."""


class TrainTask(Protocol):
    """
    Attributes:
        losses: by name, as settings state them; `usual`: the sum of them that is meant where none is stated.
    """

    @property
    def losses(self) -> Mapping[str, Loss]: ...

    @property
    def usual(self) -> str: ...

    def drawn(self, label: Any, classes: int, ignore_index: int | None) -> Array:
        """A label as a map [H,W,...] that is resized (nearest), flipped and cropped like its image."""
        ...

    def target(self, drawn: Array, size: Size, corner: tuple[int, int], classes: int) -> Any:
        """What is learnt from it, in an input of this size.

        Args:
            corner: (top, left) where it lies there; around it nothing counts.
        """
        ...

    def label(self, found: Any, spec: ModelSpec) -> Any:
        """What a network finds in an image, as a label that another one learns from."""
        ...

    def batch(self, targets: Sequence[Any]) -> Any:
        """Targets of several images as the losses take them."""
        ...

    def answer(self, module: torch.nn.Module, image: torch.Tensor, target: Any, contract: Postprocess) -> Any:
        """What a network says of images, as the losses take it.

        Args:
            module: in training mode, as the optimiser sees it: called once.
            image: float32 [N,C,H,W]; `target`: of these images, as `batch` gives it.
        """
        ...

    def taught(
        self, teacher: torch.nn.Module, image: torch.Tensor, answer: Any, contract: Postprocess
    ) -> Any:
        """What a teacher, in evaluation mode, says of the same images; `answer` is the learner's."""
        ...

    def distil(self, answer: Any, taught: Any) -> torch.Tensor:
        """How far the decisions are from a teacher's, over all of the images, labelled or not."""
        ...


@runtime_checkable
class Tunes(Protocol):
    """A task whose classes have thresholds."""

    def thresholds(
        self, pairs: Iterable[tuple[Any, Array]], spec: ModelSpec, ignore_index: int | None
    ) -> tuple[float, ...]:
        """The probability from which on each class is there, which gives it the best score.

        Args:
            pairs: of each image the label, and scores [C,h,w] where they are decided (`RuntimeTask.placed`).
        """
        ...


def training_of(task: str) -> TrainTask:
    """Raises ModelError, listing the tasks, for a task that has none."""
    found: TrainTask = TARGETS.load(task).task(task)
    return found
