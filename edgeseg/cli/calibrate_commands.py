"""Commands on calibration lists: calibrate select, calibrate check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeseg.cli import options as o

Data = Annotated[
    str,
    typer.Option(
        metavar="NAME[=ROOT]",
        help="Labelled images: synthetic-streets, camvid=PATH, folders=PATH, ...",
        show_default=False,
    ),
]
Images = Annotated[str, typer.Option(metavar="PATH", help="A folder of images, or a video, without labels.")]
NotIn = Annotated[
    list[str],
    typer.Option(
        metavar="NAME[=ROOT][:SPLIT]",
        help="Images the list must not share, besides the split val of the data: a split, a folder, a video "
        "or another list of the same images. Repeatable.",
    ),
]
BundleOption = Annotated[str, typer.Option(metavar="BUNDLE", help="Bundle of the network.")]
Model = Annotated[str, typer.Option(help="The network itself instead of a bundle, as for `edgeseg export`.")]


def select(
    count: Annotated[int, typer.Option("--count", "-n", help="How many images.")] = 64,
    data: Data = "",
    images: Images = "",
    split: Annotated[str, typer.Option(help="Split of the data.", show_default="train")] = "",
    strategy: Annotated[
        str,
        typer.Option(
            help="random; stratified: covers rare classes, needs labels; k-centre: spreads the features of "
            "a network.",
            show_default="stratified with labels, else random",
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="Another seed, another choice.", min=0)] = 0,
    every: Annotated[int, typer.Option(help="Only each Nth image or frame.", min=1)] = 1,
    not_in: NotIn = [],  # noqa: B006
    bundle: BundleOption = "",
    model: Model = "",
    weights: o.WeightsFile = "",
    weights_key: o.WeightsKey = "",
    classes: o.Classes = "",
    input_size: o.InputSize = "",
    option: o.ModelOption = [],  # noqa: B006
    contract: o.Contract = [],  # noqa: B006
    trust_file: o.TrustFile = False,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", help="The list.", show_default="calibration/DATASET/STRATEGY-COUNT.txt"
        ),
    ] = "",
    overwrite: Annotated[bool, typer.Option(help="Replace a list that is already there.")] = False,
    json: o.Json = False,
) -> None:
    """Choose images that calibrate, and write their ids and hashes."""
    from edgeseg.calibration.select import select
    from edgeseg.cli import calibrate_findings, choices, progress

    network = choices.optional_model(model, weights, weights_key, classes, input_size, option, contract)
    with progress.shown() as report:
        result = select(
            data=data, images=images, split=split, count=count, strategy=strategy, seed=seed, every=every,
            not_in=not_in, bundle=bundle, model=network, trust_file=trust_file, output=output,
            overwrite=overwrite, command=o.command_line(), progress=report,
        )  # fmt: skip
    calibrate_findings.selected(result, json)


def check(
    path: Annotated[Path, typer.Argument(metavar="LIST", help="A calibration list.", show_default=False)],
    data: Data = "",
    images: Images = "",
    not_in: NotIn = [],  # noqa: B006
    held_out: Annotated[
        str,
        typer.Option(
            metavar="NAME[=ROOT][:SPLIT]",
            help="Images to compare with, or a folder of them.",
            show_default="the rest of the split",
        ),
    ] = "",
    limit: Annotated[int, typer.Option(help="Compare with at most N images; 0: all.", min=0)] = 32,
    bundle: BundleOption = "",
    model: Model = "",
    weights: o.WeightsFile = "",
    weights_key: o.WeightsKey = "",
    classes: o.Classes = "",
    input_size: o.InputSize = "",
    option: o.ModelOption = [],  # noqa: B006
    contract: o.Contract = [],  # noqa: B006
    trust_file: o.TrustFile = False,
    json: o.Json = False,
) -> None:
    """Tell what a list covers and repeats, whether it validates too, and whether the pixel contract fits."""
    from edgeseg.calibration.check import check
    from edgeseg.cli import calibrate_findings, choices, progress

    network = choices.optional_model(model, weights, weights_key, classes, input_size, option, contract)
    with progress.shown() as report:
        result = check(
            path, data=data, images=images, not_in=not_in, held_out=held_out, held_out_limit=limit,
            bundle=bundle, model=network, trust_file=trust_file, progress=report,
        )  # fmt: skip
    raise typer.Exit(calibrate_findings.checked(result, json))


COMMANDS = (select, check)
HELP = "Lists of the images that calibrate: choose them, check them."
