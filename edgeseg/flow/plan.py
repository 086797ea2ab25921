"""Recipe -> plan: everything that can be known before any work is checked here."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgeseg.core.bundle import Kind
from edgeseg.core.documents import convert, read_toml
from edgeseg.core.files import require_file
from edgeseg.core.formats import refuse_format
from edgeseg.core.plan import Plan, PlannedStep, PlannedTarget, is_int8
from edgeseg.core.ports import Progress, silent
from edgeseg.core.preprocess import Size
from edgeseg.core.recipe import ModelChoice, Recipe, StepChoice, TargetChoice
from edgeseg.core.samples import require_disjoint
from edgeseg.core.target import Target
from edgeseg.datasets.choice import split_of
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.errors import ModelError, RecipeError
from edgeseg.flow.beforehand import (
    contract,
    require_fit,
    require_graph,
    require_network,
    require_steps,
    require_tiles,
    unanswered,
)
from edgeseg.flow.data import Data, open_data
from edgeseg.models import MODELS
from edgeseg.runtime.tiles import Grid
from edgeseg.steps import SAME, STEPS

LISTS = {"quantize": ("list", "held_out")}
"""Settings that name calibration lists, by step."""


def read_recipe(path: Path) -> Recipe:
    return read_toml(path, Recipe, error=RecipeError)


def make_plan(
    recipe: Recipe,
    base: Path,
    *,
    scored: bool = True,
    device: Device = LOCAL,
    progress: Progress = silent,
) -> tuple[Plan, Data]:
    """Check a recipe without doing any of its work: `outline` and `check_images`, whose errors it raises."""
    plan, data = outline(recipe, base, scored=scored, device=device)
    check_images(plan, data, progress)
    return plan, data


def outline(recipe: Recipe, base: Path, *, scored: bool = True, device: Device = LOCAL) -> tuple[Plan, Data]:
    """All of a plan that takes no look at every image.

    Args:
        scored: accuracy will be measured on the validation split, which must be there.
        device: where engines will be made, run and timed.

    Raises:
        RecipeError: steps that do not chain, settings that do not fit, nothing to do.
        UnsupportedOperator: an ONNX file that an engine refuses, or a step cannot train.
        TargetError, DataError, InputError: what the recipe names is not there or does not fit.
    """
    if not recipe.targets:
        raise RecipeError(
            f"recipe '{recipe.name}' has no targets", expected="at least one, as in openvino-bf16"
        )
    model = _absolute(recipe.model, base)
    require_network(model)
    data_choice = recipe.data
    if data_choice.root:
        data_choice = msgspec.structs.replace(data_choice, root=str(base / data_choice.root))
    recipe = msgspec.structs.replace(recipe, data=data_choice)
    steps = _chain(recipe, model, base)
    float_steps = tuple(step for step in steps if step.produces != "qdq")
    int8_steps = steps[len(float_steps) :]
    targets = tuple(planned_target(choice, device) for choice in recipe.choices)
    data = open_data(data_choice, model)
    _check_budget(recipe, data)
    if scored and data.dataset is not None and data.dataset.classes:
        split_of(data.dataset, data_choice)
    if any(is_int8(target.target) for target in targets):
        int8_steps = int8_steps or (planned_step(StepChoice(use="quantize"), "the default step"),)
        if data.dataset is None:
            raise RecipeError(
                f"recipe '{recipe.name}' has an int8 target and no data",
                expected="images to calibrate with: --data, or a [data] section",
            )
    camera = recipe.camera_size or data.frame_size
    require_tiles(contract(model), recipe.tiles)
    if recipe.tiles and camera:
        Grid.of(camera, recipe.tiles)
    window = recipe.tiles.size if recipe.tiles else camera
    model = with_input_size(model, window)
    require_fit(model, window, data)
    plan = Plan(
        recipe=recipe,
        base=base,
        model=model,
        camera_size=camera,
        steps=float_steps,
        int8_steps=int8_steps,
        targets=targets,
        notes=unanswered(recipe, data, targets) if scored else (),
    )
    require_steps(plan, data, device)
    if model.ref.kind == "onnx" and (scored or plan.calibrates):
        require_graph(plan, device)
    return plan, data


def check_images(plan: Plan, data: Data, progress: Progress = silent) -> None:
    """Raise DataError for images that must not be in two of the sets that train, calibrate and validate.

    Reads every image of them.
    """
    recipe, steps = plan.recipe, (*plan.steps, *(plan.int8_steps if plan.calibrates else ()))
    labelled = data.dataset is not None and bool(data.dataset.classes)
    if labelled and any(step.learns for step in steps):
        _check_splits(recipe, data, progress)
    if plan.calibrates:
        _check_calibration(recipe, data, plan.int8_steps, progress)


def _absolute(choice: ModelChoice, base: Path) -> ModelChoice:
    """Paths of the choice relative to `base`; the files must exist."""
    ref, name, weights = choice.ref, choice.name, choice.weights
    if ref.path:
        name = ref.at(_existing(base / ref.path, "network"))
    elif name not in MODELS.names():
        refuse_format(base / name, error=ModelError)
    if weights:
        weights = str(_existing(base / weights, "checkpoint"))
    return msgspec.structs.replace(choice, name=name, weights=weights)


def _existing(path: Path, noun: str) -> Path:
    require_file(path, f"the {noun}", hint="check the path")
    return path.resolve()


def _chain(recipe: Recipe, model: ModelChoice, base: Path) -> tuple[PlannedStep, ...]:
    kind: Kind = "onnx" if model.ref.kind == "onnx" else "torch"
    steps = []
    for position, choice in enumerate(recipe.steps, 1):
        where = f"recipe '{recipe.name}', step {position} '{choice.use}'"
        step = planned_step(_with_lists(choice, base), where)
        if kind not in step.accepts:
            raise RecipeError(
                f"{where} follows a bundle of kind '{kind}'",
                expected=f"a bundle of kind {' or '.join(step.accepts)}",
                hint="change the order of the steps",
            )
        kind = kind if step.produces == SAME else step.produces
        steps.append(msgspec.structs.replace(step, produces=kind))
    if kind not in ("onnx", "qdq"):
        raise RecipeError(
            f"recipe '{recipe.name}' ends with a bundle of kind '{kind}'",
            expected="a last step that gives an ONNX graph, from which engines are built",
            hint='add the step use = "export"',
        )
    return tuple(steps)


def planned_step(choice: StepChoice, where: str) -> PlannedStep:
    """A step with all of its settings. Raises RecipeError when they do not fit."""
    step = STEPS.load(choice.use).step(choice.use)
    settings = convert(choice.settings, step.settings, where=where, error=RecipeError)
    return PlannedStep(
        use=choice.use,
        settings=msgspec.to_builtins(settings),
        accepts=step.accepts,
        produces=step.produces,
    )


def _with_lists(choice: StepChoice, base: Path) -> StepChoice:
    """Calibration lists relative to `base`; the files must exist."""
    named = {key: choice.settings[key] for key in LISTS.get(choice.use, ()) if choice.settings.get(key)}
    located = {key: str(_existing(base / str(path), "calibration list")) for key, path in named.items()}
    return msgspec.structs.replace(choice, settings={**choice.settings, **located})


def planned_target(choice: TargetChoice, device: Device = LOCAL) -> PlannedTarget:
    """What a device can do with a target. Raises TargetError when there is no such target."""
    target = Target.parse(choice.target)
    return PlannedTarget(
        target=str(target),
        availability=device.backend(target).availability(target),
        unmeasured=choice.unmeasured,
    )


def _check_budget(recipe: Recipe, data: Data) -> None:
    names = [c.name for c in data.classes or ()]
    for name in recipe.budget.classes:
        if names and name not in names:
            raise RecipeError(f"the budget names the class '{name}'", expected=f"one of {', '.join(names)}")


def _check_splits(recipe: Recipe, data: Data, progress: Progress) -> None:
    assert data.dataset is not None
    train = data.dataset.split(recipe.data.train)
    validation = data.dataset.split(recipe.data.validation)
    require_disjoint(train.sample_list(progress), validation.sample_list(progress))


def _check_calibration(
    recipe: Recipe, data: Data, steps: tuple[PlannedStep, ...], progress: Progress
) -> None:
    from edgeseg.datasets.calibration import calibration_images

    assert data.dataset is not None
    names = data.dataset.splits()
    settings = steps[0].settings
    calibration_images(
        data.dataset,
        recipe.data.train,
        data.dataset.split(recipe.data.validation) if recipe.data.validation in names else None,
        count=settings["images"],
        listed=Path(settings["list"]) if settings["list"] else None,
        progress=progress,
    )


def with_input_size(choice: ModelChoice, camera: Size | None) -> ModelChoice:
    """Without an input size, what is seen of a frame that is not resized decides it: up to the stride."""
    if choice.input_size or camera is None:
        return choice
    from edgeseg.flow.load import natural_input_size

    known = contract(choice)
    if known.resize != "none":
        return choice
    seen = known.seen(camera)
    return msgspec.structs.replace(choice, input_size=natural_input_size(choice, seen))
