"""What tasks share whose images are kept as counts of pixels: int64 [3,C], which add up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.metrics.confusion import require_same_shape
from edgeseg.metrics.counts import LABELLED, Counts, Scores, found_share, mean_present, right_share
from edgeseg.metrics.drop import Score, drop_of_counts
from edgeseg.metrics.interval import Interval
from edgeseg.metrics.tasks import PRECISION, RECALL, Figures


class SumTask(ABC):
    """
    Attributes:
        score: counts to what the metric is the mean of.
    """

    metric: ClassVar[str]
    class_metric: ClassVar[str]
    one_decision: ClassVar[bool] = False
    unit: ClassVar[str] = "pixel"

    def __init__(self, spec: ModelSpec, ignore_index: int | None) -> None:
        self.classes, self.ignore_index = len(spec.classes), ignore_index

    @staticmethod
    @abstractmethod
    def score(counts: Counts) -> Scores: ...

    @abstractmethod
    def keep(self, label: Any, found: Any, *, full: bool = False) -> Counts:
        """int64 [3,C], or with more rows behind them."""

    @abstractmethod
    def further(self, total: Counts, among: NDArray[np.bool_]) -> tuple[dict[str, float], dict[str, Scores]]:
        """`Figures.means` and `tables` of the task, the latter NaN for classes that are not `among` them."""

    def together(self, kept: Sequence[Counts]) -> Counts:
        return np.asarray(np.sum(kept, axis=0))

    def figures(self, kept: Sequence[Counts]) -> Figures:
        total = self.together(kept)
        among = total[LABELLED] > 0
        classes = only(self.score(total), among)
        means, tables = self.further(total, among)
        shares = {RECALL: only(found_share(total), among), PRECISION: only(right_share(total), among)}
        return Figures(float(mean_present(classes)), classes, means, {**shares, **tables})

    def each(self, kept: Sequence[Counts]) -> list[float]:
        among = self.together(kept)[LABELLED] > 0
        return [float(mean_present(only(self.score(counts), among))) for counts in kept]

    def drop(
        self,
        before: Sequence[Counts],
        after: Sequence[Counts],
        sequences: Sequence[str] = (),
        *,
        confidence: float = 0.95,
    ) -> Interval:
        first, second = (np.stack([counts[: LABELLED + 2] for counts in kept]) for kept in (before, after))
        score: Score = self.score
        return drop_of_counts(first, second, score, sequences, confidence=confidence)

    def equal(self, a: Any, b: Any) -> tuple[int, int]:
        differs = self.differs(a, b)
        return differs.size - int(differs.sum()), differs.size

    def differs(self, a: Any, b: Any) -> NDArray[np.bool_]:
        require_same_shape(a, b, "the first map", "the second")
        return np.asarray(a != b)


def only(scores: Scores, among: NDArray[np.bool_]) -> Scores:
    """NaN for the others."""
    return np.where(among, scores, np.nan)
