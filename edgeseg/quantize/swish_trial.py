"""Whether HardSwish in place of Swish is worth it: scored on the held-out images, timed on the target."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
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

BUDGET = 0.5
"""Share of the budget that HardSwish may use up; the rest is for int8."""
SHARES = (1.0, 0.8, 0.6)
"""Of the elements that go through a Swish: how many HardSwish takes over, tried in this order. Most of the
time is won in the few largest layers, most of the loss is in the many small ones."""


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
    """The network to quantise. The first of SHARES that stays within BUDGET is timed in turn with the network
    as it is, and taken if it is faster for certain. Where none stays within it, the last one is told of.

    Args:
        fitted: of `model`.
        rest: float precision of the engines.

    Raises:
        what building and opening an engine of the target raise.
    """
    budget = _part(limits(budget))
    with ExitStack() as stack:

        def opened(graph: ModelProto) -> TrialEngine:
            engine = open_trial(graph, held_out, target, rest, partial(held_out.maxima, graph))
            stack.callback(engine.close)
            return engine

        for share in SHARES:
            progress("trying HardSwish in place of Swish")
            chosen = largest(fitted, share)
            graph = hard_swish(model, chosen)
            engine = opened(graph)
            loss = held_out.loss(engine.class_map)
            if loss.excess(budget) <= 0:
                break
        exact, hard = in_turn([opened(model), engine])
    gain = paired_ratio(hard, exact, a="HardSwish", b="Swish")
    trial = SwishTrial(
        swishes=len(fitted),
        layers=len(chosen),
        ratio=gain.ratio,
        low=gain.low,
        high=gain.high,
        drop=loss.drop,
        used=gain.high < 1 and loss.excess(budget) <= 0,
    )
    return (graph if trial.used else model), trial


def _part(budget: Budget) -> Budget:
    most = None if budget.max_drop is None else BUDGET * budget.max_drop
    classes = {name: BUDGET * limit for name, limit in budget.max_class_drop.items()}
    return msgspec.structs.replace(budget, max_drop=most, max_class_drop=classes)
