"""Milliseconds of plans of one network on its target engine, and a forecast for those that were not built."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.ports import Progress
from edgeseg.device.statistics import paired_ratio
from edgeseg.quantization.placement.groups import Group
from edgeseg.quantization.planner.evaluator import Evaluator, FloatNodes, Timed
from edgeseg.quantization.planner.forecast import Plans, forecast_times
from edgeseg.quantization.planner.tried import Tried, float_nodes

CLEAR = 0.05
"""A block that int8 makes faster by more than this share in a brief race needs no longer one."""


class Timings:
    """
    Args:
        everything: nodes of the plan that keeps all float.

    Attributes:
        there: latency can be measured here.
    """

    def __init__(self, evaluator: Evaluator, everything: FloatNodes, progress: Progress) -> None:
        self.there = evaluator.times
        self._evaluator = evaluator
        self._everything = everything
        self._progress = progress
        self._observed: list[tuple[FloatNodes, Timed]] = []
        self._singles: dict[str, float] = {}
        self._brief = False

    @property
    def of_float(self) -> Timed | None:
        """Of the plan that keeps everything float; None: not measured."""
        return self._observed[0][1] if self._observed else None

    def open(self) -> None:
        """Float and int8 everywhere, briefly."""
        if not self.there:
            return
        self._progress("timing float and int8 layer by layer")
        plans = (self._everything, frozenset[str]())
        self._observed = list(zip(plans, self._evaluator.race(plans, brief=True)))
        self._brief = True

    def settle(self) -> None:
        """Float and int8 everywhere at length, beside the turns they had; once."""
        if not self._brief:
            return
        self._brief = False
        self._progress("timing float and int8 again")
        reference, (fast,) = self.beside_float([frozenset()])
        more = zip(self._observed, (reference, fast))
        self._observed = [(plan, timed.more(other)) for (plan, timed), other in more]

    def costs(self, groups: Sequence[Group]) -> dict[str, float]:
        """What each group costs: its milliseconds in float, else its MACs."""
        node_ms = self.of_float.node_ms if self.of_float else {}
        if not node_ms:
            return {group.name: float(group.macs) for group in groups}
        return {group.name: sum(node_ms.get(n, 0.0) for n in group.nodes) for group in groups}

    def ends(self, blocks: Sequence[Group]) -> tuple[list[float], list[float]]:
        """Milliseconds of the blocks with everything float, and with everything int8; empty: not measured."""
        if not self.of_float or not self.of_float.node_ms:
            return [], []
        slow, fast, *_ = self._block_ms(blocks)
        return [float(v) for v in slow], [float(v) for v in fast]

    def gains(self, blocks: Sequence[Group]) -> list[float | None]:
        """Milliseconds that int8 wins in each block alone; None: not measured."""
        if self._singles:
            return [self._singles.get(block.name) for block in blocks]
        slow, fast = self.ends(blocks)
        return [a - b for a, b in zip(slow, fast)] if slow else [None] * len(blocks)

    def slow(self, blocks: Sequence[Group]) -> frozenset[str]:
        """Names of the blocks that int8 does not make faster."""
        gains = zip(blocks, self.gains(blocks))
        return frozenset(block.name for block, gain in gains if gain is not None and gain <= 0)

    def in_doubt(self, blocks: Sequence[Group]) -> bool:
        """Whether some block may not be faster in int8, or nothing is known of single blocks."""
        slow, fast = self.ends(blocks)
        return self.there and not (slow and all(b < (1 - CLEAR) * a for a, b in zip(slow, fast)))

    def everywhere(self, blocks: Sequence[Group]) -> Tried:
        """int8 in all blocks, which was timed in turn with float."""
        first = Tried(int8=np.ones(len(blocks), bool))
        if self.there:
            (_, slow), (_, fast), *_ = self._observed
            first.beside(fast, slow)
        return first

    def borders(self, blocks: Sequence[Group]) -> None:
        """What borders between precisions cost: every second block in int8, and the other way round. Where
        the engine tells no times of layers: each block alone in float."""
        if not self.there:
            return
        if self._observed[0][1].node_ms:
            even = np.arange(len(blocks)) % 2 == 0
            if len(blocks) > 1:
                plans = [float_nodes(blocks, even), float_nodes(blocks, ~even)]
                self._progress("timing borders between int8 and float")
                self._observed += zip(plans, self.beside_float(plans)[1])
            return
        self._progress("timing each block in float")
        plans = [frozenset(block.nodes) for block in blocks]
        whole, *single = self._evaluator.race([frozenset(), *plans])
        self._singles = {
            block.name: self._int8_ms * (paired_ratio(one.openings, whole.openings).ratio - 1.0)
            for block, one in zip(blocks, single)
        }

    def time(self, plans: Sequence[Tried], blocks: Sequence[Group]) -> None:
        """Plans in turn with float, beside the turns they had."""
        reference, found = self.beside_float([float_nodes(blocks, one.int8) for one in plans])
        for one, timed in zip(plans, found):
            one.beside(timed, reference)

    def learn(self, plans: Sequence[Tried], blocks: Sequence[Group]) -> None:
        """What these took, layer by layer, corrects the forecast."""
        for one in plans:
            if one.timed is not None and one.timed.node_ms:
                self._observed.append((float_nodes(blocks, one.int8), one.timed))

    def beside_float(self, plans: Sequence[FloatNodes]) -> tuple[Timed, list[Timed]]:
        """Float, and plans timed in turn with it. A machine may be slower or faster than when float was
        first timed: layers are given at the pace it had then."""
        reference, *found = self._evaluator.race([self._everything, *plans])
        assert self.of_float is not None
        pace = self.of_float.milliseconds / reference.milliseconds
        return reference.at_pace(pace), [timed.at_pace(pace) for timed in found]

    def speed(self, one: Tried) -> float:
        """Its layers over those of float, times its whole time over that of float: sums of layers leave out
        what lies between them, whole runs are rarely undisturbed."""
        if one.timed is None or one.ratio is None:
            return 0.0
        whole = one.ratio.ratio
        assert self.of_float is not None
        layers = one.timed.milliseconds / self.of_float.milliseconds if one.timed.node_ms else whole
        return layers * whole

    def forecast(
        self, plans: Plans, blocks: Sequence[Group], near: Sequence[Sequence[int]]
    ) -> NDArray[np.float64]:
        """Milliseconds of each plan; without latency its MACs in float.

        Args:
            near: neighbours of each block.
        """
        if not self.there:
            return ~plans @ np.array([float(block.macs) for block in blocks])
        if self._singles:
            return self._int8_ms + ~plans @ np.array([self._singles[block.name] for block in blocks])
        seen = np.array([[plan.isdisjoint(b.nodes) for b in blocks] for plan, _ in self._observed])
        return forecast_times(plans, seen, self._block_ms(blocks), near)

    @property
    def _int8_ms(self) -> float:
        """Of whole runs with everything int8, when float was first timed."""
        return self._observed[1][1].run_ms

    def _block_ms(self, blocks: Sequence[Group]) -> NDArray[np.float64]:
        """[plans, blocks] of the plans timed layer by layer, float first, int8 second."""
        return np.array(
            [
                [sum(timed.node_ms.get(node, 0.0) for node in block.nodes) for block in blocks]
                for _, timed in self._observed
            ]
        )
