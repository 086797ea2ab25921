"""A plan that was built, and which nodes a plan leaves float."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseg.core.measurement import PairedRatio
from edgeseg.device.statistics import paired_ratio
from edgeseg.quantization.placement.groups import Group
from edgeseg.quantization.planner.evaluator import FloatNodes, Timed
from edgeseg.quantization.planner.tables import Loss


class Tried(msgspec.Struct, kw_only=True):
    """
    Attributes:
        int8: by block; `predicted_ms`, `predicted_drop`: before it was built.
        against: milliseconds of float, in turn with `timed`, as its openings.
        ratio: its time over that of float.
        loss: None: not scored.
    """

    int8: NDArray[np.bool_]
    predicted_ms: float | None = None
    predicted_drop: float | None = None
    timed: Timed | None = None
    against: list[list[list[float]]] = []
    ratio: PairedRatio | None = None
    loss: Loss | None = None

    @property
    def milliseconds(self) -> float | None:
        return self.timed.milliseconds if self.timed else None

    @property
    def may_win(self) -> bool:
        """Whether it is not known to be as slow as float."""
        return self.ratio is None or self.ratio.high < 1

    @property
    def in_doubt(self) -> bool:
        """Whether it may be as slow as float, and may be faster."""
        return self.ratio is not None and self.ratio.low < 1 <= self.ratio.high

    def beside(self, timed: Timed, reference: Timed) -> None:
        """Add what it took in turn with float."""
        self.timed = timed if self.timed is None else self.timed.more(timed)
        self.against = [*self.against, *reference.openings]
        self.ratio = paired_ratio(self.timed.openings, self.against, a="plan", b="float", clock="device")


def float_nodes(blocks: Sequence[Group], int8: NDArray[np.bool_]) -> FloatNodes:
    """The nodes that stay float where blocks are int8 as given, [blocks]."""
    kept = (block.nodes for block, chosen in zip(blocks, int8) if not chosen)
    return frozenset(node for nodes in kept for node in nodes)
