"""Commands that make something: train, export, build."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeseg.cli import options as o


def train(
    model: o.Model,
    data: o.Data = "synthetic-streets",
    output: o.Output = Path("runs/train"),
    weights: o.WeightsFile = "",
    weights_key: o.WeightsKey = "",
    classes: o.Classes = "",
    input_size: o.InputSize = "",
    option: o.ModelOption = [],  # noqa: B006
    contract: o.Contract = [],  # noqa: B006
    setting: Annotated[
        list[str],
        typer.Option(
            "--train",
            metavar="KEY=VALUE",
            help="A training setting, as in epochs=40 lr=1e-3 loss=ce+dice; "
            "all: `edgeseg schema train`. Repeatable.",
        ),
    ] = [],  # noqa: B006
    track: Annotated[
        str,
        typer.Option(help="Where curves go: tensorboard or wandb.", show_default="tensorboard"),
    ] = "",
    limit: Annotated[int, typer.Option(help="Use only the first N images of each split; 0: all.", min=0)] = 0,
    trust_file: o.TrustFile = False,
    json: o.Json = False,
) -> None:
    """Train or fine-tune a network; run again to resume.

    Several processes: accelerate launch -m edgeseg train ...
    """
    from edgeseg.cli import choices, progress, render
    from edgeseg.flow.train import train

    choice = choices.model_choice(model, weights, weights_key, classes, input_size, option, contract)
    settings = o.pairs(setting, "--train") | ({"track": track} if track else {})
    with progress.shown() as report:
        result = train(
            choice,
            data,
            output,
            settings,
            limit=limit,
            trust_file=trust_file,
            command=o.command_line(),
            progress=report,
        )
    render.trained(result, json)


def export(
    model: o.Model,
    target: Annotated[
        list[str],
        typer.Option(help="What to build for, as in trt-fp16@orin. Repeatable.", show_default=False),
    ],
    output: o.Output = Path("bundles"),
    weights: o.WeightsFile = "",
    weights_key: o.WeightsKey = "",
    classes: o.Classes = "",
    input_size: o.InputSize = "",
    camera_size: o.CameraSize = "",
    tile: o.Tile = "",
    overlap: o.Overlap = None,
    blend: o.TileBlend = "",
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME[=ROOT]", help="Images for checks and golden frames; default: generated ones."
        ),
    ] = "",
    option: o.ModelOption = [],  # noqa: B006
    contract: o.Contract = [],  # noqa: B006
    batch: Annotated[int, typer.Option(help="Frames per call.", min=1)] = 1,
    confidence: Annotated[
        bool, typer.Option(help="The engine also returns the probability of its choice.")
    ] = False,
    trust_file: o.TrustFile = False,
    overwrite: o.Overwrite = False,
    device: o.Device = "local",
    json: o.Json = False,
) -> None:
    """Turn a network into engine bundles, one per target."""
    from edgeseg.cli import choices, progress, render
    from edgeseg.devices import device_named
    from edgeseg.flow.make import export

    choice = choices.model_choice(model, weights, weights_key, classes, input_size, option, contract)
    recipe = choices.export_recipe(
        choice, target, camera_size, data, batch, confidence, choices.tiles(tile, overlap, blend)
    )
    with device_named(device) as there, progress.shown() as report:
        bundles = export(
            recipe,
            Path.cwd(),
            output,
            overwrite=overwrite,
            trust_file=trust_file,
            device=there,
            progress=report,
        )
    render.bundles(bundles, json)


def build(
    bundle: o.BundlePath,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder of the new bundle.", show_default="BUNDLE-built")
    ] = "",
    option: o.BuildOption = [],  # noqa: B006
    overwrite: o.Overwrite = False,
    require_signature: o.RequireSignature = "",
    device: o.Device = "local",
    json: o.Json = False,
) -> None:
    """Finish a deferred bundle on its device: make the engine as a child bundle."""
    from edgeseg.cli import progress, render
    from edgeseg.devices import device_named
    from edgeseg.flow.build import build
    from edgeseg.runtime.signature import require_signed

    require_signed(require_signature, bundle)
    with device_named(device) as there, progress.shown() as report:
        options = o.pairs(option, "--option")
        result = build(bundle, output, options=options, overwrite=overwrite, device=there, progress=report)
    render.bundles((result,), json)


def sign(
    bundle: o.BundlePath,
    key: Annotated[
        Path,
        typer.Option(
            metavar="KEY.pem", help="Private Ed25519 key, PEM without password.", show_default=False
        ),
    ],
) -> None:
    """Sign a bundle, for those who run it with --require-signature."""
    from edgeseg.runtime.signature import sign

    typer.echo(sign(bundle, key))


COMMANDS = (train, export, build, sign)
