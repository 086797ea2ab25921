"""Commands that tell what there is: models, targets, doctor, schema."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeseg.cli import options as o


def models(json: o.Json = False) -> None:
    """List the networks of the zoo."""
    from edgeseg.cli import render
    from edgeseg.flow.listing import models

    render.models(models(), json)


def targets(device: o.Device = "local", json: o.Json = False) -> None:
    """List the targets, and what a device can do with each."""
    from edgeseg.cli import findings, progress
    from edgeseg.devices import device_named

    with device_named(device) as there, progress.shown() as report:
        reports = there.describe(report).targets
    findings.targets(reports, json)


def doctor(device: o.Device = "local", json: o.Json = False) -> None:
    """Tell what a device can build and run, and what to install for the rest."""
    from edgeseg.cli import findings, progress
    from edgeseg.devices import device_named
    from edgeseg.flow.doctor import doctor

    with device_named(device) as there, progress.shown() as report:
        result = doctor(device=there, progress=report)
    findings.doctor(result, json)


def schema(
    noun: Annotated[
        str, typer.Argument(help="recipe, manifest, train, datasets, tasks or steps.", show_default=False)
    ],
) -> None:
    """Print the JSON Schema of recipes, bundle manifests or training settings, or list plug-ins."""
    from edgeseg.flow.listing import schema

    typer.echo(schema(noun))


COMMANDS = (models, targets, doctor, schema)
