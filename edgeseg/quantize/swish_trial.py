"""Whether HardSwish in place of Swish is worth it: timed on the target, scored on the held-out images."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import msgspec
from onnx import ModelProto

from edgeseg.core.recipe import Budget
from edgeseg.core.target import Target
from edgeseg.device.statistics import paired_ratio
from edgeseg.quantize.held_out import HeldOut
from edgeseg.quantize.planner_tables import SwishTrial, limits
from edgeseg.quantize.planner_trial import open_trial
from edgeseg.quantize.trial_engine import in_turn

SHARE = 0.5
"""Of the budget that HardSwish may use up; the rest is for int8."""


def try_hard_swish(
    model: ModelProto,
    fitted: ModelProto,
    layers: int,
    held_out: HeldOut,
    target: Target,
    rest: str,
    budget: Budget,
) -> SwishTrial:
    """Both float networks, built for the target and timed in turn. HardSwish is used where it is faster for
    certain and stays within SHARE of the budget.

    Args:
        fitted: `model` after `hard_swish`, which replaced `layers` Swishes.
        rest: float precision of the engines.

    Raises:
        what building and opening an engine of the target raise.
    """
    with ExitStack() as stack:
        engines = []
        for graph in (model, fitted):
            engine = open_trial(graph, held_out, target, rest, partial(held_out.maxima, graph))
            stack.callback(engine.close)
            engines.append(engine)
        exact, hard = in_turn(engines)
        gain = paired_ratio(hard, exact, a="HardSwish", b="Swish")
        loss = held_out.loss(engines[1].class_map)
    budget = limits(budget)
    part = msgspec.structs.replace(
        budget,
        max_drop=None if budget.max_drop is None else SHARE * budget.max_drop,
        max_class_drop={name: SHARE * most for name, most in budget.max_class_drop.items()},
    )
    return SwishTrial(
        layers=layers,
        ratio=gain.ratio,
        low=gain.low,
        high=gain.high,
        drop=loss.drop,
        used=gain.high < 1 and loss.excess(part) <= 0,
    )
