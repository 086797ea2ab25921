"""Options of the command line -> the nouns that flow takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.cli.options import pairs, size, whole
from edgeseg.errors import InputError

if TYPE_CHECKING:
    from edgeseg.core.recipe import Budget, ModelChoice, Recipe
    from edgeseg.core.tiles import Tiles


def model_choice(
    model: str,
    weights: str,
    weights_key: str,
    classes: str,
    input_size: str,
    options: list[str],
    contract: list[str],
) -> ModelChoice:
    from edgeseg.core.documents import convert
    from edgeseg.core.recipe import ModelChoice

    fields = pairs(contract, "--set", text=("output", "frame"))
    preprocess, postprocess = split_contract(fields)
    given = {
        "name": model,
        "weights": weights,
        "weights_key": weights_key,
        "task": fields.get("task"),
        "classes": whole(classes, "--classes") if classes.isdecimal() else classes or None,
        "input_size": size(input_size),
        "options": pairs(options, "--option"),
        "preprocess": preprocess,
        "postprocess": postprocess,
    }
    return convert(given, ModelChoice, where="the network's options")


def optional_model(
    model: str,
    weights: str,
    weights_key: str,
    classes: str,
    input_size: str,
    options: list[str],
    contract: list[str],
) -> ModelChoice | None:
    """None without `--model`. Raises InputError for options that only mean something with it."""
    if model:
        return model_choice(model, weights, weights_key, classes, input_size, options, contract)
    given = {"--weights": weights, "--weights-key": weights_key, "--classes": classes}
    given |= {"--input-size": input_size}
    lists = {"--option": options, "--set": contract}
    names = [name for name, value in {**given, **lists}.items() if value]
    if names:
        raise InputError(f"{names[0]} was given without --model", expected="--model NAME beside it")
    return None


def split_contract(fields: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of `--set`, sorted into Preprocess and Postprocess."""
    from edgeseg.core.postprocess import Postprocess
    from edgeseg.core.preprocess import Preprocess

    into, out = Preprocess.__struct_fields__, Postprocess.__struct_fields__
    for key in fields:
        if key not in (*into, *out, "task"):
            raise InputError(f"--set {key}=...", expected=f"one of {', '.join((*into, *out, 'task'))}")
    return {k: v for k, v in fields.items() if k in into}, {k: v for k, v in fields.items() if k in out}


def tiles(tile: str, overlap: int | None, blend: str) -> Tiles | None:
    """Of `--tile`, `--overlap` and `--blend`; None without `--tile`."""
    from edgeseg.core.documents import convert
    from edgeseg.core.tiles import Tiles

    given = {"overlap": overlap, "blend": blend or None}
    stated = {name: value for name, value in given.items() if value is not None}
    if not tile:
        if stated:
            raise InputError(
                f"--{next(iter(stated))} was given without --tile", expected="--tile HxW beside it"
            )
        return None
    return convert({"size": size(tile), **stated}, Tiles, where="--tile")


def export_recipe(
    choice: ModelChoice,
    targets: list[str],
    camera_size: str,
    data: str,
    batch: int,
    confidence: bool,
    tiles: Tiles | None = None,
) -> Recipe:
    from edgeseg.core.recipe import Recipe
    from edgeseg.datasets.choice import parse_data

    found, camera = parse_data(data), size(camera_size)
    try:
        return Recipe(
            schema_version=Recipe.SCHEMA_VERSION,
            name="export",
            model=choice,
            data=found,
            targets=tuple(targets),
            camera_size=camera,
            tiles=tiles,
            batch=batch,
            confidence=confidence,
        )
    except ValueError as fault:
        raise InputError(str(fault)) from None


def quantize_recipe(
    choice: ModelChoice,
    targets: list[str],
    camera_size: str,
    data: str,
    budget_drop: float | None,
    budget_class: list[str],
    budget_any_class: float | None,
    tiles: Tiles | None,
) -> Recipe:
    import msgspec

    recipe = export_recipe(choice, targets, camera_size, data, batch=1, confidence=False, tiles=tiles)
    limits = budget(budget_drop, budget_class, budget_any_class, "--budget-class")
    return msgspec.structs.replace(recipe, name="quantize", budget=limits)


def budget(
    max_drop: float | None,
    max_class_drop: list[str],
    any_class: float | None,
    option: str = "--max-class-drop",
    *,
    min_recall: list[str] = [],  # noqa: B006
    min_precision: list[str] = [],  # noqa: B006
    any_slice: float | None = None,
    max_calibration_error: float | None = None,
) -> Budget:
    from edgeseg.core.documents import convert
    from edgeseg.core.recipe import Budget

    named = {
        "max_class_drop": (option, max_class_drop),
        "min_recall": ("--min-recall", min_recall),
        "min_precision": ("--min-precision", min_precision),
    }
    limits = {
        "max_drop": max_drop,
        "any_class": any_class,
        "any_slice": any_slice,
        "max_calibration_error": max_calibration_error,
        **{name: _points(*given) for name, given in named.items()},
    }
    return convert(limits, Budget, where="the limits")


def _points(option: str, given: list[str]) -> dict[str, Any]:
    found = pairs(given, option)
    for name, value in found.items():
        if not isinstance(value, (int, float)):
            raise InputError(f"{option} {name}={value}", expected="CLASS=POINTS, as in pedestrian=1.0")
    return found


def recipe_file(text: str) -> Path:
    """A path, or the name of a recipe that ships with edgeseg."""
    from edgeseg.flow.resources import recipes

    path = Path(text)
    if path.is_file():
        return path
    shipped = recipes()
    if text in shipped:
        return shipped[text]
    raise InputError(
        f"there is no recipe '{text}'",
        expected=f"a .toml file, or one of {', '.join(shipped)}",
        hint="see `edgeseg run --help`",
    )


def recipe_with(path: Path, weights: str, data: str, weights_key: str = "") -> Recipe:
    """The recipe of a file, with another checkpoint and other data where they are given."""
    import msgspec

    from edgeseg.datasets.choice import parse_data
    from edgeseg.flow.plan import read_recipe

    recipe = read_recipe(path)
    if weights or weights_key:
        file = str(Path(weights).resolve()) if weights else recipe.model.weights
        model = msgspec.structs.replace(recipe.model, weights=file, weights_key=weights_key)
        recipe = msgspec.structs.replace(recipe, model=model)
    if data:
        given = parse_data(data)
        root = str(Path(given.root).resolve()) if given.root else ""
        choice = msgspec.structs.replace(recipe.data, name=given.name, root=root)
        recipe = msgspec.structs.replace(recipe, data=choice)
    return recipe
