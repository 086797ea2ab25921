"""The fastest precision plan within an accuracy budget, from measurements on the target engine.

Pure search: it decides what is built, timed and scored; a `Evaluator` does it. In this order:

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

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edgeseg.core.measurement import PairedRatio
from edgeseg.core.ports import Progress, silent
from edgeseg.core.recipe import Budget
from edgeseg.device.statistics import paired_ratio
from edgeseg.quantization.placement.blocks import blocks_of, neighbours
from edgeseg.quantization.placement.groups import Group
from edgeseg.quantization.planner.evaluator import Evaluator, FloatNodes, Timed
from edgeseg.quantization.planner.forecast import (
    Plans,
    all_plans,
    fastest,
    forecast_losses,
    forecast_times,
    gentlest,
)
from edgeseg.quantization.planner.sensitivity import Sensitivity, measure
from edgeseg.quantization.planner.settings import MOST_BLOCKS, PlanSettings
from edgeseg.quantization.planner.tables import Loss

SLACK = (1.25, 1.0, 0.7)
"""Share of the budget up to which forecasts are tried, round by round: a forecast is no measurement."""
NEGLIGIBLE = 0.01
"""A forecast that is better than the best plan built by less than this share is not worth building."""
CLEAR = 0.05
"""A block that int8 makes faster by more than this share in a brief race needs no longer one."""
DOUBTS = 3
"""A plan that may be as slow as float is timed so many times more."""


class Tried(msgspec.Struct, kw_only=True):
    """A plan that was built.

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


class Search:
    """What was measured and decided for one network.

    Attributes:
        blocks: with what each loses alone, where that was measured.
        seen: [plans, blocks] that were timed layer by layer; `block_ms`: time of each block in them.
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
        self.blocks: tuple[Sensitivity, ...] = ()
        self.near: tuple[tuple[int, ...], ...] = ()
        self.start: Loss | None = None
        self.tried: list[Tried] = []
        self.best: Tried | None = None
        self._observed: list[tuple[FloatNodes, Timed]] = []
        self._singles: dict[str, float] = {}
        self._costs: dict[str, float] = {}
        self._skipped: frozenset[str] = frozenset()
        self._brief = False

    def run(self) -> Search:
        if not self.open():
            self.explore()
        return self

    def open(self) -> bool:
        """Whether no search is needed: float wins in every block, or int8 wins in every block and keeps
        the budget, so that float in some of them only adds time."""
        self._costs = self._first_times()
        chosen = blocks_of(self.model, self.groups, self.settings.blocks, self._costs)
        self._use(tuple(Sensitivity(block=block) for block in chosen))
        if self._in_doubt():
            self._time_ends_again()
        self._skipped = self._slow()
        start = np.array([block.name not in self._skipped for block in chosen])
        if not start.any():
            return True
        self.progress("scoring int8 on the held-out images")
        self.start = self.evaluator.loss(self.floats(start), within=self.budget)
        if self._skipped or self.start.excess(self.budget) > 0:
            return False
        self._open_with_all(self.start)
        return self.best is not None and bool(self.ends()[0] or not self.evaluator.times)

    def explore(self) -> None:
        """What `open` leaves to be searched."""
        if self._brief:
            self._time_ends_again()
        assert self.start is not None
        if self.start.excess(self.budget) > 0:
            most = max(self.settings.blocks, min(MOST_BLOCKS, self.settings.blocks + 6))
            chosen = [s.block for s in self.blocks]
            score = partial(measure, self.evaluator, chosen, self.groups, self._costs, skip=self._skipped)
            self._use(score(most=most, progress=self.progress))
        self._open_with_all(None if self._skipped else self.start)
        self._border_times()
        for number in range(self.settings.rounds):
            if not self._round(number):
                break

    def gains(self) -> list[float | None]:
        """Milliseconds that int8 wins in each block alone; None: not measured."""
        if self._singles:
            return [self._singles.get(s.block.name) for s in self.blocks]
        slow, fast = self.ends()
        return [a - b for a, b in zip(slow, fast)] if slow else [None] * len(self.blocks)

    def ends(self) -> tuple[list[float], list[float]]:
        """Milliseconds of the blocks with everything float, and with everything int8; empty: not measured."""
        if not self._observed or not self._observed[0][1].node_ms:
            return [], []
        slow, fast = self.block_ms[0], self.block_ms[1]
        return [float(v) for v in slow], [float(v) for v in fast]

    @property
    def float_time(self) -> Timed | None:
        """Of the plan that keeps everything float; None: not measured."""
        return self._observed[0][1] if self._observed else None

    @property
    def _int8_ms(self) -> float:
        """Of whole runs with everything int8, when float was first timed."""
        return self._observed[1][1].run_ms

    @property
    def block_ms(self) -> NDArray[np.float64]:
        """[plans, blocks] of the plans timed layer by layer, float first, int8 second."""
        return np.array(
            [
                [sum(timed.node_ms.get(node, 0.0) for node in s.block.nodes) for s in self.blocks]
                for _, timed in self._observed
            ]
        )

    def _first_times(self) -> dict[str, float]:
        """Time float and int8; returns what each group costs: its milliseconds in float, else its MACs."""
        costs = {group.name: float(group.macs) for group in self.groups}
        if not self.evaluator.times:
            return costs
        self.progress("timing float and int8 layer by layer")
        plans = (self.everything, frozenset[str]())
        self._observed = list(zip(plans, self.evaluator.race(plans, brief=True)))
        self._brief = True
        node_ms = self._observed[0][1].node_ms
        return {g.name: sum(node_ms.get(n, 0.0) for n in g.nodes) for g in self.groups} if node_ms else costs

    def _slow(self) -> frozenset[str]:
        """Names of the blocks that int8 does not make faster."""
        gains = zip(self.blocks, self.gains())
        return frozenset(s.block.name for s, gain in gains if gain is not None and gain <= 0)

    def _in_doubt(self) -> bool:
        """Whether some block may not be faster in int8, or nothing is known of single blocks."""
        slow, fast = self.ends()
        return self.evaluator.times and not (slow and all(b < (1 - CLEAR) * a for a, b in zip(slow, fast)))

    def _time_ends_again(self) -> None:
        """Float and int8 everywhere, beside the turns they had."""
        self._brief = False
        self.progress("timing float and int8 again")
        reference, (fast,) = self._beside_float([frozenset()])
        more = zip(self._observed, (reference, fast))
        self._observed = [(plan, timed.more(other)) for (plan, timed), other in more]

    def _use(self, blocks: tuple[Sensitivity, ...]) -> None:
        self.blocks = blocks
        self.near = neighbours(self.model, [s.block for s in blocks])

    def _border_times(self) -> None:
        """What borders between precisions cost: every second block in int8, and the other way round. Where
        the engine tells no times of layers: each block alone in float."""
        if not self.evaluator.times:
            return
        if self._observed[0][1].node_ms:
            even = np.arange(len(self.blocks)) % 2 == 0
            if len(self.blocks) > 1:
                plans = [self.floats(even), self.floats(~even)]
                self.progress("timing borders between int8 and float")
                self._observed += zip(plans, self._beside_float(plans)[1])
            return
        self.progress("timing each block in float")
        plans = [frozenset(s.block.nodes) for s in self.blocks]
        whole, *single = self.evaluator.race([frozenset(), *plans])
        self._singles = {
            s.block.name: self._int8_ms * (paired_ratio(one.openings, whole.openings).ratio - 1.0)
            for s, one in zip(self.blocks, single)
        }

    def _open_with_all(self, loss: Loss | None) -> None:
        """Everything int8, which was timed in turn with float, is the plan to beat if its loss is known and
        within the budget."""
        first = Tried(int8=np.ones(len(self.blocks), bool), loss=loss)
        if self.evaluator.times:
            (_, slow), (_, fast), *_ = self._observed
            first.timed, first.against, first.ratio = fast, slow.openings, _ratio(fast, slow.openings)
        self.tried = [first]
        if loss is not None:
            self._judge()

    def _round(self, number: int) -> bool:
        """Build and judge the most promising plans. False: nothing promising is left."""
        plans = all_plans(len(self.blocks))[1:]
        plans = plans[~(plans & self._never()).any(axis=1)]
        times, losses = self.forecast(plans), self._losses(plans)
        limits = self._limits() * SLACK[min(number, len(SLACK) - 1)]
        done = np.array([t.int8 for t in self.tried]).reshape(-1, len(self.blocks))
        picked = fastest(plans, times, losses, limits, self.settings.candidates, done)
        if self.best is not None:
            bar = float(self.forecast(self.best.int8[None])[0]) * (1 - NEGLIGIBLE)
            picked = [index for index in picked if times[index] < bar]
        elif not picked:
            picked = gentlest(plans, times, losses, limits, self.settings.candidates, done)
        if not picked:
            return False
        fresh = [
            Tried(
                int8=plans[i],
                predicted_ms=float(times[i]) if self.evaluator.times else None,
                predicted_drop=float(losses[i, 0]) if self._scored() else None,
            )
            for i in picked
        ]
        self._race(fresh, number)
        self.tried += fresh
        self._judge()
        return True

    def _race(self, fresh: Sequence[Tried], number: int) -> None:
        """Time plans in turn with float; those that may be the fastest again."""
        if not self.evaluator.times:
            return
        self.progress(f"timing {len(fresh)} plans in turn with float", number, self.settings.rounds)
        self._time(fresh)
        rivals = [*fresh, *(one for one in self.tried if one is self.best or one.loss is None)]
        bar = min(one.ratio.high for one in rivals if one.ratio is not None)
        close = [one for one in rivals if one.ratio is not None and one.ratio.low <= bar]
        if len(close) > 1:
            self._time(sorted(close, key=self.speed)[: self.settings.candidates + 1])
        for one in fresh:
            if one.timed is not None and one.timed.node_ms:
                self._observed.append((self.floats(one.int8), one.timed))

    def _time(self, plans: Sequence[Tried]) -> None:
        """Time plans in turn with float, beside the turns they had."""
        reference, found = self._beside_float([self.floats(one.int8) for one in plans])
        for one, timed in zip(plans, found):
            one.timed = timed if one.timed is None else one.timed.more(timed)
            one.against = [*one.against, *reference.openings]
            one.ratio = _ratio(one.timed, one.against)

    def _beside_float(self, plans: Sequence[FloatNodes]) -> tuple[Timed, list[Timed]]:
        """Float, and plans timed in turn with it. A machine may be slower or faster than when float was
        first timed: layers are given at the pace it had then."""
        reference, *found = self.evaluator.race([self.everything, *plans])
        assert self.float_time is not None
        pace = self.float_time.milliseconds / reference.milliseconds
        return reference.at_pace(pace), [timed.at_pace(pace) for timed in found]

    def speed(self, one: Tried) -> float:
        """Its layers over those of float, times its whole time over that of float: sums of layers leave out
        what lies between them, whole runs are rarely undisturbed."""
        if one.timed is None or one.ratio is None:
            return 0.0
        whole = one.ratio.ratio
        assert self.float_time is not None
        layers = one.timed.milliseconds / self.float_time.milliseconds if one.timed.node_ms else whole
        return layers * whole

    def _judge(self) -> None:
        """Score the plans from the fastest on until one is within the budget."""
        for one in sorted(self.tried, key=self.speed):
            if not self._faster(one):
                continue
            if one.loss is None:
                self.progress("scoring plans on the held-out images")
                one.loss = self.evaluator.loss(self.floats(one.int8))
            if one.loss.excess(self.budget) <= 0:
                self.best = one
                return

    def _faster(self, one: Tried) -> bool:
        """Whether a plan is faster than float for certain; in doubt it is timed again."""
        for _ in range(DOUBTS):
            if one.timed is None or one.ratio is None or one.ratio.high < 1 or one.ratio.low >= 1:
                break
            self._time([one])
        return one.ratio is None or one.ratio.high < 1

    def _never(self) -> NDArray[np.bool_]:
        """Blocks that stay float in every plan: where losses count, those that were not worth scoring."""
        if not self._scored():
            return np.zeros(len(self.blocks), bool)
        return np.array([s.loss is None for s in self.blocks])

    def _scored(self) -> bool:
        return any(s.loss is not None for s in self.blocks)

    def forecast(self, plans: Plans) -> NDArray[np.float64]:
        """Milliseconds of each plan; without latency its MACs in float."""
        if not self.evaluator.times:
            return ~plans @ np.array([float(s.block.macs) for s in self.blocks])
        if self._singles:
            return self._int8_ms + ~plans @ np.array([self._singles[s.block.name] for s in self.blocks])
        seen = np.array([[plan.isdisjoint(s.block.nodes) for s in self.blocks] for plan, _ in self._observed])
        return forecast_times(plans, seen, self.block_ms, self.near)

    def _limits(self) -> NDArray[np.float64]:
        """Of mIoU first, then of the classes in the budget."""
        most = np.inf if self.budget.max_drop is None else self.budget.max_drop
        return np.array([most, *self.budget.max_class_drop.values()])

    def _losses(self, plans: Plans) -> NDArray[np.float64]:
        """[plans, limits]: losses of blocks add up, scaled to what the plans scored so far lost."""
        names = tuple(self.budget.max_class_drop)
        if not self._scored():
            return np.zeros((len(plans), 1 + len(names)))
        none = Loss(drop=0.0, class_drop={}, changed=0.0, class_changed={})
        losses = [s.loss or none for s in self.blocks]
        alone = np.array([[one.changed, *(one.class_changed.get(n, 0.0) for n in names)] for one in losses]).T
        assert self.start is not None
        known = [(self._can, self.start)] + [
            (t.int8, t.loss) for t in self.tried if t.loss not in (None, self.start)
        ]
        rows = np.array([alone @ int8 for int8, _ in known])
        drops = np.array([[one.drop, *(one.class_drop.get(n, 0.0) for n in names)] for _, one in known])
        scale = np.median(np.maximum(drops, 0.0) / np.maximum(rows, 1e-9), axis=0)
        return forecast_losses(plans, alone, scale)

    @property
    def _can(self) -> NDArray[np.bool_]:
        return ~self._never()

    def floats(self, int8: NDArray[np.bool_]) -> FloatNodes:
        """The nodes that stay float where blocks are int8 as given, [blocks]."""
        kept = (s.block.nodes for s, chosen in zip(self.blocks, int8) if not chosen)
        return frozenset(node for nodes in kept for node in nodes)


def _ratio(timed: Timed, against: Sequence[Sequence[Sequence[float]]]) -> PairedRatio:
    return paired_ratio(timed.openings, against, a="plan", b="float", clock="device")
