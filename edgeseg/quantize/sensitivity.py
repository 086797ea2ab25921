"""What each group costs alone: the table a planner starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from onnx import ModelProto

from edgeseg.core.ports import Progress, silent
from edgeseg.quantize.groups import Group, float_plan
from edgeseg.quantize.ptq import Calibrated, apply

Evaluate = Callable[[ModelProto], float]
"""A score of a graph, the higher the better, such as mIoU in points of its engine on held-out images."""
Mode = Literal["alone", "without"]


class Sensitivity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        drop: score lost when this group alone is int8 (mode `alone`), or score given back when this group
            alone is float (mode `without`); in the unit of the score.
    """

    group: Group
    drop: float


def measure(
    calibrated: Calibrated,
    groups: Sequence[Group],
    evaluate: Evaluate,
    *,
    mode: Mode = "alone",
    progress: Progress = silent,
) -> tuple[Sensitivity, ...]:
    """Evaluate each group alone, in the order given: one graph per group, and one to compare with.

    Args:
        groups: those of `Calibrated.groups`, or merged ones that hold each of them once.
        mode: `alone`: everything else float. `without`: everything else int8.
    """
    reference = evaluate(calibrated.model if mode == "alone" else apply(calibrated).model)
    found = []
    for count, group in enumerate(groups, start=1):
        others = [g for g in groups if g is not group]
        score = evaluate(apply(calibrated, float_plan(others if mode == "alone" else [group])).model)
        found.append(
            Sensitivity(group=group, drop=reference - score if mode == "alone" else score - reference)
        )
        progress(f"sensitivity of {group.name}", count, len(groups))
    return tuple(found)
