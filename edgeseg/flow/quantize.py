"""A network to int8 engine bundles whose precision is planned block by block, from measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edgeseg.core.bundle import Bundle
from edgeseg.core.documents import read_json
from edgeseg.core.plan import is_int8
from edgeseg.core.ports import Progress, silent
from edgeseg.core.recipe import Recipe, StepChoice
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.errors import InputError
from edgeseg.flow.make import export
from edgeseg.quantization.planner.tables import PlannedPrecision

MOST_DIGITS = 9


class QuantizeResult(msgspec.Struct, frozen=True, kw_only=True):
    """One engine bundle.

    Attributes:
        kind: `engine`, or `deferred` where it is built on its device.
        planned: None: everything that can be is int8, and nothing was measured.
    """

    path: str
    target: str
    kind: str
    calibration: str
    planned: PlannedPrecision | None
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0; 1: the budget is missed; 4: a limit that nothing was held against."""
        if self.planned is None or self.planned.met:
            return 4 if self.planned is not None and self.planned.unjudged else 0
        return 1


def quantize(
    recipe: Recipe,
    base: Path,
    output: Path,
    *,
    plan: bool = True,
    calibration: str = "",
    held_out: str = "",
    settings: dict[str, Any] | None = None,
    overwrite: bool = False,
    trust_file: bool = False,
    device: Device = LOCAL,
    progress: Progress = silent,
) -> tuple[QuantizeResult, ...]:
    """Export, quantise and build. What an earlier call with the same settings made is used again.

    Args:
        recipe: its targets are int8, its budget limits the drops.
        plan: choose the blocks that stay float; False: everything is int8.
        calibration, held_out: a calibration list, or how many images of the training split.
        settings: more settings of the step `quantize`.

    Raises:
        InputError: a target that is not int8, or no data.
        DataError: lists that overlap, do not fit the data, or leave no image.
        RecipeError: an unknown class in the budget, or settings that do not fit.
    """
    if not plan and recipe.budget.limits_drops:
        budget = recipe.budget
        limits = [f"{limit:g}" for limit in (budget.max_drop, budget.any_class) if limit is not None]
        limits += [f"{name}={limit:g}" for name, limit in budget.max_class_drop.items()]
        raise InputError(
            f"a budget ({', '.join(limits)}) was given with --no-plan, which measures nothing",
            expected="one of the two",
        )
    _require_int8(tuple(choice.target for choice in recipe.choices))
    if not recipe.data.name:
        raise InputError(
            "quantize got no data to calibrate with",
            expected="--data NAME[=ROOT]; images without labels do: --data images=FOLDER",
        )
    step: dict[str, Any] = {**(settings or {}), **_images(calibration, "list")}
    if plan:
        step.setdefault("methods", "given" if step.get("ptq") else "auto")
        chosen = _images(held_out, "held_out")
        step["plan"] = {**step.get("plan", {}), **{k: v for k, v in chosen.items() if k == "images"}}
        step |= {k: v for k, v in chosen.items() if k == "held_out"}
    elif held_out:
        raise InputError("--held-out was given with --no-plan", expected="one of the two")
    steps = (*recipe.steps, StepChoice(use="quantize", settings=step))
    bundles = export(
        msgspec.structs.replace(recipe, steps=steps),
        base,
        output,
        overwrite=overwrite,
        trust_file=trust_file,
        device=device,
        progress=progress,
    )
    return tuple(_result(bundle) for bundle in bundles)


def _require_int8(targets: tuple[str, ...]) -> None:
    for target in targets:
        if not is_int8(target):
            raise InputError(
                f"--target {target} is not an int8 target",
                expected="a target such as openvino-int8, ort-int8 or trt-int8",
                hint="`edgeseg export` makes the others",
            )


def _images(text: str, key: str) -> dict[str, Any]:
    """A list by `key`, or a number by `images`; nothing for nothing."""
    if text.isdecimal():
        if len(text) > MOST_DIGITS or int(text) < 1:
            raise InputError(
                f"{text[:20]} images were asked for", expected="1 or more, or a calibration list"
            )
        return {"images": int(text)}
    return {key: text} if text else {}


def _result(bundle: Bundle) -> QuantizeResult:
    quantization = bundle.manifest.quantization
    assert quantization is not None
    tables = quantization.tables
    return QuantizeResult(
        path=str(bundle.path),
        target=bundle.engine.target,
        kind=bundle.manifest.kind,
        calibration=quantization.calibration,
        planned=read_json(bundle.file(tables), PlannedPrecision) if tables else None,
        notes=bundle.manifest.sentences(),
    )
