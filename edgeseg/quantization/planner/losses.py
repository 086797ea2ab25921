"""Losses of plans of one network, and a forecast for those that were not scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.recipe import Budget
from edgeseg.quantization.planner.forecast import Plans, forecast_losses
from edgeseg.quantization.planner.sensitivity import Sensitivity
from edgeseg.quantization.planner.tables import Loss
from edgeseg.quantization.planner.tried import Tried

NOTHING = Loss(drop=0.0, class_drop={}, changed=0.0, class_changed={})


class Losses:
    """
    Args:
        blocks: with what each loses alone, where that was measured.
        start: loss of int8 in all blocks that it makes faster.
    """

    def __init__(self, blocks: Sequence[Sensitivity], start: Loss, budget: Budget) -> None:
        self._blocks = blocks
        self._start = start
        limits = budget.class_limits(start.class_drop)
        self._classes = tuple(limits)
        most = np.inf if budget.max_drop is None else budget.max_drop
        self.limits = np.array([most, *limits.values()])
        """Of the metric first, then of the classes in the budget."""

    @property
    def known(self) -> bool:
        """Whether blocks were scored alone."""
        return any(one.loss is not None for one in self._blocks)

    @property
    def never(self) -> NDArray[np.bool_]:
        """Blocks that stay float in every plan: where losses count, those that were not worth scoring."""
        return np.array([self.known and one.loss is None for one in self._blocks])

    def forecast(self, plans: Plans, tried: Sequence[Tried]) -> NDArray[np.float64]:
        """[plans, limits]: losses of blocks add up, scaled to what the plans scored so far lost."""
        if not self.known:
            return np.zeros((len(plans), len(self.limits)))
        alone = np.array([self._changed(one.loss or NOTHING) for one in self._blocks]).T
        scored = [(one.int8, one.loss) for one in tried if one.loss not in (None, self._start)]
        known = [(~self.never, self._start), *scored]
        rows = np.array([alone @ int8 for int8, _ in known])
        drops = np.array([self._drops(loss or NOTHING) for _, loss in known])
        scale = np.median(np.maximum(drops, 0.0) / np.maximum(rows, 1e-9), axis=0)
        return forecast_losses(plans, alone, scale)

    def _changed(self, loss: Loss) -> list[float]:
        return [loss.changed, *(loss.class_changed.get(name, 0.0) for name in self._classes)]

    def _drops(self, loss: Loss) -> list[float]:
        return [loss.drop, *(loss.class_drop.get(name, 0.0) for name in self._classes)]
