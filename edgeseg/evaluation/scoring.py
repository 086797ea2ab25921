"""What is kept of each frame, and the scores it gives: pixels are forgotten at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.evaluation.verification import Agreement, Drop, Scores
from edgeseg.metrics import Interval, known
from edgeseg.metrics.tasks import metric_of


class Tally:
    """One engine against labels.

    Attributes:
        kept: of each frame, as `MetricTask.keep` gives it.
    """

    def __init__(self, spec: ModelSpec, ignore_index: int | None) -> None:
        self._names = spec.class_names
        self._task = metric_of(spec, ignore_index)
        self.kept: list[Any] = []

    def add(self, label: Any, found: Any, *, full: bool = True) -> None:
        """Count one frame. `full`: for all that `scores` tells, not for the metric alone."""
        self.kept.append(self._task.keep(label, found, full=full))

    def value(self, frames: Sequence[int] | None = None) -> float | None:
        """The metric of all frames together, 0-1, or of some; None: nothing is labelled."""
        chosen = self.kept if frames is None else [self.kept[i] for i in frames]
        return known(self._task.figures(chosen).value)

    def frame_scores(self) -> list[float]:
        """The metric of each frame alone, over the classes that are labelled in any; NaN for a frame that is
        ignored altogether."""
        return self._task.each(self.kept)

    def scores(self) -> Scores:
        """Scores of all frames together."""
        found = self._task.figures(self.kept)
        return Scores(
            metric=self._task.metric,
            class_metric=self._task.class_metric,
            value=known(found.value),
            classes=self._named(found.classes),
            means={name: known(value) for name, value in found.means.items()},
            tables={name: self._named(values) for name, values in found.tables.items()},
        )

    def notes(self) -> tuple[str, ...]:
        """The classes that no label shows, and what this means for the scores."""
        shown = [value is not None for value in self.scores().classes.values()]
        if all(shown) or not any(shown):
            return ()
        names = ", ".join(name for name, there in zip(self._names, shown) if not there)
        told = f"no {self._task.unit} of these frames is labelled {names}: out of every mean and drop"
        if self._task.one_decision:
            told += "; pixels taken for it count against the classes they belong to"
        return (told,)

    def drops(
        self,
        engine: Tally,
        sequences: Sequence[str] = (),
        frames: Sequence[int] | None = None,
    ) -> tuple[Drop | None, dict[str, Drop]]:
        """What an engine loses against this one, its reference: of the metric, and of each labelled class, in
        points.

        Args:
            engine: of the same frames.
            sequences: the video that each frame comes from; empty: nothing tells.
            frames: only these; None: all.
        """
        places = range(len(self.kept)) if frames is None else frames
        before, after = ([tally.kept[i] for i in places] for tally in (self, engine))
        videos = [sequences[i] for i in places] if sequences else ()
        return told(self._task.drop(before, after, videos, confidence=0.95), self._names)

    def _named(self, values: Array) -> dict[str, float | None]:
        return {name: known(value) for name, value in zip(self._names, values)}


class Comparison:
    """Two engines on the same frames.

    Attributes:
        frame_scores: of each frame, the share that is equal, as of its pixels; 1 where there is nothing.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._task = metric_of(spec)
        self._kept: list[Any] = []
        self._equal = self._compared = 0
        self.frame_scores: list[float] = []

    def add(self, expected: Any, found: Any) -> None:
        self._kept.append(self._task.keep(expected, found))
        equal, compared = self._task.equal(expected, found)
        self._equal += equal
        self._compared += compared
        self.frame_scores.append(equal / compared if compared else 1.0)

    def agreement(self) -> Agreement:
        return Agreement(
            unit=self._task.unit,
            equal=self._equal / self._compared if self._compared else 1.0,
            metric=self._task.metric,
            value=known(self._task.figures(self._kept).value),
        )


def told(found: Interval, names: Sequence[str]) -> tuple[Drop | None, dict[str, Drop]]:
    """A paired loss as data: of all classes, None where nothing shows it, and of each that shows it."""

    def drop(value: float, low: float, high: float) -> Drop:
        return Drop(value=value, low=known(low), high=known(high), caveat=found.caveat)

    rows = zip(names, found.class_drop, found.class_low, found.class_high)
    classes = {name: drop(*row) for name, *row in rows if not math.isnan(row[0])}
    if math.isnan(found.drop):
        return None, classes
    return drop(found.drop, found.low, found.high), classes
