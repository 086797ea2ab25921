"""What the step `quantize` is told."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edgeseg.core.recipe import Budget
from edgeseg.quantization.planner.settings import PlanSettings
from edgeseg.quantization.ptq import PtqSettings


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        images: how many images of the training split calibrate, evenly spread over it.
        list: a calibration list that names them instead.
        keep: nodes that stay float, by name.
        ptq: how ranges and scales are chosen.
        swish: `exact`: it stays. `hard`: HardSwish takes its place, fitted per channel.
        methods: `given`: those of `ptq`; `auto`: where int8 everywhere misses the budget, the best of ranges,
            bias correction and equalisation on the held-out images. Needs `plan`.
        plan: measure which blocks to keep in float; None: everything is int8.
        held_out: a calibration list of the images that decide; empty: `plan.images` of the training split.
        scheme: whose int8; the target decides.
        target, budget: what is planned for; the target and the budget of the recipe.
    """

    images: Annotated[int, msgspec.Meta(ge=1)] = 64
    list: str = ""
    keep: tuple[str, ...] = ()
    ptq: PtqSettings = PtqSettings()
    swish: Literal["exact", "hard"] = "exact"
    methods: Literal["given", "auto"] = "given"
    plan: PlanSettings | None = None
    held_out: str = ""
    scheme: str = "openvino"
    target: str = ""
    budget: Budget = Budget()
