"""Where HardSwish in place of Swish is worth it: scored on the held-out images, timed on the target."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial

import msgspec
from onnx import ModelProto

from edgeseg.core.ports import Progress, silent
from edgeseg.core.recipe import Budget
from edgeseg.core.target import Target
from edgeseg.device.statistics import paired_ratio
from edgeseg.quantize.hard_swish import Fitted, hard_swish, largest
from edgeseg.quantize.held_out import HeldOut
from edgeseg.quantize.planner_tables import SwishTrial, limits
from edgeseg.quantize.planner_trial import open_trial
from edgeseg.quantize.trial_engine import TrialEngine, in_turn

WORTH = 0.7
"""Share of the elements that go through a Swish in the few layers that are worth a try."""
BUDGET = 0.5
"""Share of the budget that HardSwish may use up; the rest is for int8."""


def try_hard_swish(
    model: ModelProto,
    fitted: Sequence[Fitted],
    held_out: HeldOut,
    target: Target,
    rest: str,
    budget: Budget,
    *,
    progress: Progress = silent,
) -> tuple[ModelProto, SwishTrial]:
    """The network to quantise. HardSwish is tried in each of the largest layers alone; those where it changes
    no more of the masks per element than on average get it. That network is taken if it stays within BUDGET
    and is faster for certain than the one as it is, timed in turn.

    What one layer changes on a few images says more than what they all cost on many: held-out images resemble
    those that HardSwish was fitted to, and hide what it costs on others.

    Args:
        fitted: of `model`, at least one.
        rest: float precision of the engines.

    Raises:
        what building and opening an engine of the target raise.
    """

    def opened(graph: ModelProto) -> TrialEngine:
        return open_trial(graph, held_out, target, rest, partial(held_out.maxima, graph))

    def changed(chosen: Sequence[Fitted]) -> float:
        with closing(opened(hard_swish(model, chosen))) as engine:
            return held_out.loss(engine.class_map).changed

    candidates, before = largest(fitted, WORTH), changed(())
    rates = []
    for index, one in enumerate(candidates):
        progress("trying HardSwish in place of Swish", index, len(candidates))
        rates.append(max(0.0, changed([one]) - before) / one.size)
    mean = sum(rate * one.size for rate, one in zip(rates, candidates)) / sum(c.size for c in candidates)
    chosen = [one for rate, one in zip(rates, candidates) if rate <= mean]
    graph = hard_swish(model, chosen)
    with closing(opened(model)) as exact, closing(opened(graph)) as hard:
        loss = held_out.loss(hard.class_map)
        beside, taken = in_turn([exact, hard])
    gain = paired_ratio(taken, beside, a="HardSwish", b="Swish")
    trial = SwishTrial(
        swishes=len(fitted),
        layers=len(chosen),
        ratio=gain.ratio,
        low=gain.low,
        high=gain.high,
        drop=loss.drop,
        used=gain.high < 1 and loss.excess(_part(limits(budget))) <= 0,
    )
    return (graph if trial.used else model), trial


def _part(budget: Budget) -> Budget:
    most = None if budget.max_drop is None else BUDGET * budget.max_drop
    classes = {name: BUDGET * limit for name, limit in budget.max_class_drop.items()}
    return msgspec.structs.replace(budget, max_drop=most, max_class_drop=classes)
