"""The fastest precision plan within an accuracy budget, from measurements on the target engine.

Pure search: it decides what is built, timed and scored; an `Evaluator` does it. In this order:

1. All float and all int8, timed layer by layer, first briefly; longer, if int8 does not make every block
   clearly faster. A block that it does not make faster starts as float, and what this plan loses is scored,
   on as many images as show that it is within the budget. If int8 makes every block faster and keeps the
   budget, that is the plan.
2. Only if that misses the budget: what each block loses alone.
3. A forecast for each of the 2^blocks plans.
4. The most promising ones are built, timed in turn with float, and scored from the fastest on until one is
   within the budget. What they took corrects the forecast; again, until it promises nothing faster than the
   best plan so far. Int8 everywhere, timed and scored already, is the first of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from onnx import ModelProto

from edgeseg.core.ports import Progress, silent
from edgeseg.core.recipe import Budget
from edgeseg.quantization.placement.blocks import blocks_of, neighbours
from edgeseg.quantization.placement.groups import Group
from edgeseg.quantization.planner.evaluator import Evaluator, FloatNodes
from edgeseg.quantization.planner.forecast import all_plans, fastest, gentlest
from edgeseg.quantization.planner.losses import Losses
from edgeseg.quantization.planner.sensitivity import Sensitivity, measure
from edgeseg.quantization.planner.settings import MOST_BLOCKS, PlanSettings
from edgeseg.quantization.planner.tables import Loss
from edgeseg.quantization.planner.timings import Timings
from edgeseg.quantization.planner.tried import Tried, float_nodes

SLACK = (1.25, 1.0, 0.7)
"""Share of the budget up to which forecasts are tried, round by round: a forecast is no measurement."""
NEGLIGIBLE = 0.01
"""A forecast that is better than the best plan built by less than this share is not worth building."""
DOUBTS = 3
"""A plan that may be as slow as float is timed so many times more."""


class Search:
    """What was decided for one network.

    Attributes:
        measured: blocks, with what each loses alone, where that was measured.
        start: loss of int8 in all blocks that it makes faster; None: it makes none faster.
        tried: plans that were built, int8 everywhere first; `best`: the fastest of them within the budget,
            None: there is none.
    """

    def __init__(
        self,
        model: ModelProto,
        groups: Sequence[Group],
        evaluator: Evaluator,
        budget: Budget,
        settings: PlanSettings,
        progress: Progress = silent,
    ) -> None:
        self.model = model
        self.groups = tuple(groups)
        self.evaluator = evaluator
        self.budget = budget
        self.settings = settings
        self.progress = progress
        self.everything: FloatNodes = frozenset(node for group in groups for node in group.nodes)
        self.timings = Timings(evaluator, self.everything, progress)
        self.measured: tuple[Sensitivity, ...] = ()
        self.start: Loss | None = None
        self.tried: list[Tried] = []
        self.best: Tried | None = None
        self._costs: dict[str, float] = {}

    @property
    def blocks(self) -> tuple[Group, ...]:
        return tuple(one.block for one in self.measured)

    def run(self) -> Search:
        if not self.open():
            self.explore()
        return self

    def open(self) -> bool:
        """Whether no search is needed: float wins in every block, or int8 wins in every block and keeps
        the budget, so that float in some of them only adds time."""
        timings = self.timings
        timings.open()
        self._costs = timings.costs(self.groups)
        blocks = blocks_of(self.model, self.groups, self.settings.blocks, self._costs)
        self.measured = tuple(Sensitivity(block=block) for block in blocks)
        if timings.in_doubt(blocks):
            timings.settle()
        slow = timings.slow(blocks)
        start = np.array([block.name not in slow for block in blocks])
        if not start.any():
            return True
        self.progress("scoring int8 on the held-out images")
        self.start = self.evaluator.loss(float_nodes(blocks, start), within=self.budget)
        if slow or self.start.excess(self.budget) > 0:
            return False
        self._open_with_all(self.start)
        return self.best is not None and bool(timings.ends(blocks)[0] or not timings.there)

    def explore(self) -> None:
        """What `open` leaves to be searched."""
        assert self.start is not None
        timings, blocks = self.timings, self.blocks
        slow = timings.slow(blocks)
        timings.settle()
        if self.start.excess(self.budget) > 0:
            most = max(self.settings.blocks, min(MOST_BLOCKS, self.settings.blocks + 6))
            score = partial(measure, self.evaluator, blocks, self.groups, self._costs, skip=slow)
            self.measured = score(most=most, progress=self.progress)
        self._open_with_all(None if slow else self.start)
        timings.borders(self.blocks)
        losses = Losses(self.measured, self.start, self.budget)
        near = neighbours(self.model, self.blocks)
        for number in range(self.settings.rounds):
            fresh = self._promising(losses, near, SLACK[min(number, len(SLACK) - 1)])
            if not fresh:
                break
            self._race(fresh, number)
            self.tried += fresh
            self._judge()

    def _open_with_all(self, loss: Loss | None) -> None:
        """Everything int8 is the plan to beat if its loss is known and within the budget."""
        first = self.timings.everywhere(self.blocks)
        first.loss = loss
        self.tried = [first]
        if loss is not None:
            self._judge()

    def _promising(self, losses: Losses, near: Sequence[Sequence[int]], slack: float) -> list[Tried]:
        """Plans that were not built and may be the fastest within `slack` times the budget; while none is
        within it, else those that miss it least."""
        plans = all_plans(len(self.blocks))[1:]
        plans = plans[~(plans & losses.never).any(axis=1)]
        forecast = partial(self.timings.forecast, blocks=self.blocks, near=near)
        times, lost = forecast(plans), losses.forecast(plans, self.tried)
        done = np.array([t.int8 for t in self.tried]).reshape(-1, len(self.blocks))
        given = plans, times, lost, losses.limits * slack, self.settings.candidates, done
        picked = fastest(*given)
        if self.best is not None:
            bar = float(forecast(self.best.int8[None])[0]) * (1 - NEGLIGIBLE)
            picked = [index for index in picked if times[index] < bar]
        elif not picked:
            picked = gentlest(*given)
        return [
            Tried(
                int8=plans[i],
                predicted_ms=float(times[i]) if self.timings.there else None,
                predicted_drop=float(lost[i, 0]) if losses.known else None,
            )
            for i in picked
        ]

    def _race(self, fresh: Sequence[Tried], number: int) -> None:
        """Time plans in turn with float; those that may be the fastest again."""
        timings, blocks = self.timings, self.blocks
        if not timings.there:
            return
        self.progress(f"timing {len(fresh)} plans in turn with float", number, self.settings.rounds)
        timings.time(fresh, blocks)
        others = (one for one in self.tried if one is self.best or one.loss is None)
        raced = [(one, one.ratio) for one in (*fresh, *others) if one.ratio is not None]
        bar = min(ratio.high for _, ratio in raced)
        close = [one for one, ratio in raced if ratio.low <= bar]
        if len(close) > 1:
            timings.time(sorted(close, key=timings.speed)[: self.settings.candidates + 1], blocks)
        timings.learn(fresh, blocks)

    def _judge(self) -> None:
        """Score the plans from the fastest on until one is within the budget."""
        for one in sorted(self.tried, key=self.timings.speed):
            for _ in range(DOUBTS):
                if one.in_doubt:
                    self.timings.time([one], self.blocks)
            if not one.may_win:
                continue
            if one.loss is None:
                self.progress("scoring plans on the held-out images")
                one.loss = self.evaluator.loss(float_nodes(self.blocks, one.int8))
            if one.loss.excess(self.budget) <= 0:
                self.best = one
                return
