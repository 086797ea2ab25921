"""What a label holds, and how labels and results look in a picture. One task per file; it registers `NAMES`
and has `task(name)`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.plugins import PluginFolder
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.errors import ModelError

__all__ = ["LABELS", "LabelTask", "labels_of"]

LABELS = PluginFolder("edgeseg.datasets.tasks", "task", listing="edgeseg schema tasks", error=ModelError)


class LabelTask(Protocol):
    """Labels and results are of one kind here: both are called marks.

    Attributes:
        partial: labels of fewer classes than the network has mean the same, so they may score it.
        spare: a value may be ignored that labels do not hold.
    """

    @property
    def partial(self) -> bool: ...

    @property
    def spare(self) -> bool: ...

    def check(self, label: Any, classes: int, ignore_index: int | None, *, where: str) -> None:
        """Raise DataError, with the value and where it is, when a label holds what it must not."""
        ...

    def size(self, marks: Any) -> Size:
        """(height, width) of the image they are of."""
        ...

    def part(self, marks: Any, rows: slice, columns: slice) -> Any:
        """Those of a part of the image."""
        ...

    def resized(self, marks: Any, size: Size) -> Any:
        """Those of the image at (height, width)."""
        ...

    def content(self, label: Any) -> bytes:
        """All that a label says, for its hash."""
        ...

    def working(self, marks: Any, spec: ModelSpec) -> Any:
        """Those of a result that count at the working point of the network: what is drawn and summed up."""
        ...

    def shares(self, marks: Any, classes: int) -> Array:
        """Share of the pixels of each class, float64 [C]; they may add up to more than 1."""
        ...

    def colors(self, spec: ModelSpec) -> Array:
        """Of each class, as `paint` and the legend show it: uint8 [C,3] RGB."""
        ...

    def paint(self, marks: Any, spec: ModelSpec) -> Array:
        """uint8 [H,W,3] RGB, black where nothing is."""
        ...

    def ignored(self, label: Any, ignore_index: int | None) -> Array:
        """Pixels of a label that do not count, bool [H,W]; None: no value of it is ignored."""
        ...

    def write(self, picture: Array, marks: Any, spec: ModelSpec) -> Array:
        """What words tell of them, over uint8 [H,W,3] RGB of their image; the same picture where none do."""
        ...

    def save(self, folder: Path, name: str, found: Any, spec: ModelSpec, source: str) -> str:
        """Write a result to work with. Returns the name of the file, which begins with `name`.

        Args:
            source: file name of the image.
        """
        ...

    def gather(self, folder: Path, files: Sequence[str]) -> str:
        """Write one file of what was saved of several images. Returns its name; empty: there is none."""
        ...


def labels_of(task: str) -> LabelTask:
    """Raises ModelError, listing the tasks, for a task that has none."""
    found: LabelTask = LABELS.load(task).task(task)
    return found
