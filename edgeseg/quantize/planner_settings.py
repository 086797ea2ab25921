"""How thoroughly a plan is searched for."""

from __future__ import annotations

import msgspec

MOST_BLOCKS = 16
"""All plans are listed: 2^16 take seconds."""


class PlanSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        blocks: at most so many are switched; a block that loses much is then cut into parts.
        candidates: plans built and timed per round; `rounds`: at most so many.
        images: held-out images that plans are scored on.
    """

    blocks: int = 10
    candidates: int = 5
    rounds: int = 3
    images: int = 40

    def __post_init__(self) -> None:
        if not 1 <= self.blocks <= MOST_BLOCKS:
            raise ValueError(f"blocks is {self.blocks}, expected 1 to {MOST_BLOCKS}")
        for name in ("candidates", "rounds", "images"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 1 or more")
