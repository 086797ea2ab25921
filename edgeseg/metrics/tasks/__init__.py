"""How right a network is: what is kept of an image, and what it says of all of them. One task per file; it
registers `NAMES` and has `task(spec, ignore_index)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.plugins import PluginFolder
from edgeseg.errors import ModelError
from edgeseg.metrics.counts import Scores
from edgeseg.metrics.interval import Interval

__all__ = ["METRICS", "Figures", "MetricTask", "metric_of"]

METRICS = PluginFolder("edgeseg.metrics.tasks", "task", listing="edgeseg schema tasks", error=ModelError)

RECALL, PRECISION = "recall", "precision"
"""Names of the tables that a budget has limits for."""


class Figures(NamedTuple):
    """What a set of images shows, in 0..1; NaN: nothing shows it.

    Attributes:
        value: the metric of the task.
        classes: the same of each class, [C].
        means: further figures over all, by name; `tables`: further ones of each class.
    """

    value: float
    classes: Scores
    means: dict[str, float]
    tables: dict[str, Scores]


class MetricTask(Protocol):
    """Of a network with so many classes, and labels with an ignored value.

    Attributes:
        metric: name of the figure that budgets limit, as in `mIoU`; `class_metric`: of its terms.
        unit: what a label shows and `equal` counts, in a word: `pixel`.
    """

    @property
    def metric(self) -> str: ...

    @property
    def class_metric(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def one_decision(self) -> bool:
        """Whether each pixel has one class, so that a confidence is its probability."""
        ...

    def keep(self, label: Any, found: Any, *, full: bool = False) -> Any:
        """What is kept of one image: counts, matches, ... `found` may be a label too.

        Args:
            full: also what only `Figures.means` and `tables` show.

        Raises:
            InputError: they do not belong together, or hold what is no class.
        """
        ...

    def together(self, kept: Sequence[Any]) -> Any:
        """What is kept of several images as of one."""
        ...

    def figures(self, kept: Sequence[Any]) -> Figures:
        """Of all images together: over the classes that a label shows."""
        ...

    def each(self, kept: Sequence[Any]) -> list[float]:
        """The metric of each image alone, over the classes that a label of any of them shows."""
        ...

    def drop(
        self, before: Sequence[Any], after: Sequence[Any], sequences: Sequence[str] = (), *, confidence: float
    ) -> Interval:
        """What is lost from one network to another on the same images, with its paired interval.

        Args:
            sequences: the video that each image comes from; empty: nothing tells.
        """
        ...

    def equal(self, a: Any, b: Any) -> tuple[int, int]:
        """How many of the things that two results of one image say are the same, and how many there are."""
        ...

    def differs(self, a: Any, b: Any) -> NDArray[np.bool_] | None:
        """Pixels [H,W] of which two results say something else; None for a task that does not speak of
        pixels."""
        ...


def metric_of(spec: ModelSpec, ignore_index: int | None = None) -> MetricTask:
    """Raises ModelError, listing the tasks, for a task that has none."""
    found: MetricTask = METRICS.load(spec.task).task(spec, ignore_index)
    return found
