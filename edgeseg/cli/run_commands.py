"""Commands that work on recipes: plan and run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeseg.cli import options as o

RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A .toml file, or the name of a shipped recipe.", show_default=False
    ),
]


def plan(
    recipe: RecipeArgument,
    weights: o.WeightsFile = "",
    weights_key: o.WeightsKey = "",
    data: o.Data = "",
    device: o.Device = "local",
    json: o.Json = False,
) -> None:
    """Check a recipe without doing its work: steps, files, data and targets of this machine."""
    from edgeseg.cli import choices, progress, render
    from edgeseg.devices import device_named
    from edgeseg.flow.plan import make_plan

    path = choices.recipe_file(recipe)
    with device_named(device) as there, progress.shown() as report:
        report(f"checking {path}")
        result, _ = make_plan(
            choices.recipe_with(path, weights, data, weights_key), path.parent, device=there, progress=report
        )
    render.planned(result, json)


def run(
    recipe: RecipeArgument,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder of the run.", show_default="runs/RECIPE")
    ] = "",
    weights: o.WeightsFile = "",
    weights_key: o.WeightsKey = "",
    data: o.Data = "",
    min_runs: Annotated[int, typer.Option(help="At least this many timed runs per engine.", min=1)] = 100,
    min_seconds: Annotated[float, typer.Option(help="And at least this long.")] = 2.0,
    trust_file: o.TrustFile = False,
    device: o.Device = "local",
    json: o.Json = False,
) -> None:
    """Run a recipe: bundles, accuracy, latency, verdict. Run again to go on where it stopped."""
    from edgeseg.cli import choices, progress, render
    from edgeseg.device.bench import BenchSettings
    from edgeseg.devices import device_named
    from edgeseg.flow.run import run

    path = choices.recipe_file(recipe)
    noun = choices.recipe_with(path, weights, data, weights_key)
    settings = BenchSettings(min_runs=min_runs, min_seconds=min_seconds)
    with device_named(device) as there, progress.shown() as report:
        result = run(
            noun,
            path.parent,
            Path(output or f"runs/{noun.name}"),
            settings=settings,
            trust_file=trust_file,
            device=there,
            progress=report,
        )
    raise typer.Exit(render.ran(result, json))


COMMANDS = (plan, run)
