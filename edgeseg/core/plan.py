"""What a recipe will do on this machine: known before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from edgeseg.core.bundle import Kind
from edgeseg.core.ports import Availability
from edgeseg.core.preprocess import Size
from edgeseg.core.recipe import ModelChoice, Recipe
from edgeseg.core.target import Target


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True):
    use: str
    settings: dict[str, Any]
    accepts: tuple[Kind, ...]
    produces: Kind | Literal["same"]

    @property
    def learns(self) -> bool:
        """Whether it changes weights by what images show."""
        return self.use in ("train", "qat") or bool(self.settings.get("finetune"))


class PlannedTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What will happen to one target on this machine: `built`, `deferred`; `measured` or not, and why.

    Attributes:
        unmeasured: see `TargetChoice`.
    """

    target: str
    availability: Availability
    unmeasured: Literal["refuse", "allow"] = "refuse"

    @property
    def outcome(self) -> str:
        made = "engine built here" if self.availability.build else "deferred: built on the device"
        return f"{made}, {'measured' if self.availability.run else 'unmeasured'}"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        steps: from the source to the ONNX graph; `int8_steps`: on from there, for int8 targets only.
        base: folder that relative paths of the recipe are relative to.
        model: the model choice with absolute paths and its input size, where it could be told.
        camera_size: None: the network's input size, or that of tiles.
        notes: what the result will not tell, one sentence each.
    """

    recipe: Recipe
    base: Path
    model: ModelChoice
    camera_size: Size | None
    steps: tuple[PlannedStep, ...]
    int8_steps: tuple[PlannedStep, ...]
    targets: tuple[PlannedTarget, ...]
    notes: tuple[str, ...] = ()

    @property
    def window(self) -> Size | None:
        """(height, width) of the pictures that the network sees: frames, or their tiles."""
        return self.recipe.tiles.size if self.recipe.tiles else self.camera_size

    @property
    def trains_int8(self) -> bool:
        return any(step.use == "qat" for step in self.int8_steps) and self.calibrates

    @property
    def calibrates(self) -> bool:
        return any(is_int8(target.target) for target in self.targets)


def is_int8(target: str) -> bool:
    return Target.parse(target).precision == "int8"
