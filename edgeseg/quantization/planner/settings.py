"""How thoroughly a plan is searched for."""

from __future__ import annotations

import math

import msgspec

from edgeseg.core.recipe import Budget

DEFAULT_DROP = 0.5
"""Points of the metric, where the budget limits neither that nor a class."""
MOST_BLOCKS = 16
"""All plans are listed: 2^16 take seconds."""


class PlanSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        blocks: at most so many are switched; a block that loses much is then cut into parts.
        candidates: plans built and timed per round; `rounds`: at most so many.
        first: calibration images of a first try. Where int8 in the blocks that it makes faster misses the
            budget, everything begins anew with all of them. 0: no first try.
        images: held-out images that plans are scored on.
        zoomed_crops: and on an enlarged part of each, where int8 shows what it loses although the float
            network was trained on these images.
        regain: points that every drop may be larger by, because training in int8 (the step `qat`) follows and
            is expected to win them back.
    """

    blocks: int = 10
    candidates: int = 5
    rounds: int = 3
    first: int = 8
    images: int = 40
    zoomed_crops: bool = True
    regain: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.blocks <= MOST_BLOCKS:
            raise ValueError(f"blocks is {self.blocks}, expected 1 to {MOST_BLOCKS}")
        for name in ("candidates", "rounds", "images"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 1 or more")
        if self.first < 0:
            raise ValueError(f"first is {self.first}, expected 0 or more")
        if not 0 <= self.regain < math.inf:
            raise ValueError(f"regain is {self.regain:g}, expected 0 or more points")

    def limits(self, budget: Budget) -> Budget:
        """What a plan may lose where the network in the end may lose `budget`."""
        most = budget.max_drop
        if not budget.limits_drops:
            most = DEFAULT_DROP
        return msgspec.structs.replace(
            budget,
            max_drop=None if most is None else most + self.regain,
            max_class_drop={name: drop + self.regain for name, drop in budget.max_class_drop.items()},
            any_class=None if budget.any_class is None else budget.any_class + self.regain,
        )
