"""The command quantize."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from edgeseg.cli import options as o


def quantize(
    model: o.Model,
    target: Annotated[
        list[str],
        typer.Option(
            help="An int8 target, as in openvino-int8 or trt-int8@orin. Repeatable.", show_default=False
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME[=ROOT]",
            help="Images to calibrate with and to compare plans on; with labels, the drop counts, "
            "without (images=FOLDER) the agreement with the float masks.",
            show_default=False,
        ),
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
    option: o.ModelOption = [],  # noqa: B006
    contract: o.Contract = [],  # noqa: B006
    budget_drop: Annotated[
        float | None,
        typer.Option(
            help="Largest loss of mIoU (or mean Dice, mask AP) against the FP32 network, in points.",
            min=0.0,
            show_default="0.5",
        ),
    ] = None,
    budget_class: Annotated[
        list[str],
        typer.Option(metavar="CLASS=POINTS", help="The same for the IoU of one class. Repeatable."),
    ] = [],  # noqa: B006
    budget_any_class: Annotated[
        float | None,
        typer.Option(
            help="The same for every class without a limit of its own.", min=0.0, show_default=False
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option(help="Measure which blocks to keep in float; without, everything is int8.")
    ] = True,
    calibration: Annotated[
        str,
        typer.Option(
            metavar="LIST|N",
            help="A calibration list, or how many images of the split train.",
            show_default="64",
        ),
    ] = "",
    held_out: Annotated[
        str,
        typer.Option(
            metavar="LIST|N",
            help="A list of the images that decide between plans, or how many of the split train; they "
            "neither calibrate nor validate.",
            show_default="40",
        ),
    ] = "",
    setting: Annotated[
        list[str],
        typer.Option(
            "--ptq",
            metavar="KEY=VALUE",
            help="How ranges are chosen, as in ranges=mse equalize=true. Repeatable.",
        ),
    ] = [],  # noqa: B006
    swish: Annotated[
        Literal["exact", "hard"],
        typer.Option(help="Swish stays, or becomes HardSwish, fitted per channel: faster, less accurate."),
    ] = "exact",
    blocks: Annotated[int, typer.Option(help="Plan with at most N blocks.", min=1, max=16)] = 10,
    trust_file: o.TrustFile = False,
    overwrite: o.Overwrite = False,
    device: o.Device = "local",
    json: o.Json = False,
) -> None:
    """Turn a network into the fastest int8 engine within an accuracy budget, one per target."""
    from edgeseg.cli import choices, progress, quantize_findings
    from edgeseg.devices import device_named
    from edgeseg.flow.quantize import quantize

    choice = choices.model_choice(model, weights, weights_key, classes, input_size, option, contract)
    drop = 0.5 if budget_drop is None and plan else budget_drop
    recipe = choices.quantize_recipe(
        choice,
        target,
        camera_size,
        data,
        drop,
        budget_class,
        budget_any_class,
        choices.tiles(tile, overlap, blend),
    )
    settings = {"ptq": o.pairs(setting, "--ptq"), "swish": swish}
    settings |= {"plan": {"blocks": blocks}} if plan else {}
    with device_named(device) as there, progress.shown() as report:
        results = quantize(
            recipe, Path.cwd(), output, plan=plan, calibration=calibration, held_out=held_out,
            settings=settings, overwrite=overwrite, trust_file=trust_file, device=there, progress=report,
        )  # fmt: skip
    raise typer.Exit(quantize_findings.quantized(results, json))


COMMANDS = (quantize,)
