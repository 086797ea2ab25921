"""Commands that prove something about a bundle: bench, verify, predict, inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeseg.cli import options as o


def bench(
    bundle: o.BundlePath,
    vs: Annotated[
        str, typer.Option(metavar="BUNDLE", help="Alternate with this bundle and give the paired ratio.")
    ] = "",
    min_runs: Annotated[int, typer.Option(help="At least this many runs.", min=1)] = 200,
    min_seconds: Annotated[float, typer.Option(help="And at least this long.")] = 3.0,
    streams: Annotated[
        int,
        typer.Option(
            help="Requests at work at the same time, for throughput. The batch is fixed at export.", min=1
        ),
    ] = 1,
    threads: o.Threads = 0,
    cpus: Annotated[
        str, typer.Option(metavar="0,2-3", help="Pin the process to these cores.", show_default=False)
    ] = "",
    warmup: Annotated[int, typer.Option(help="Runs before, not recorded.", min=0)] = 10,
    openings: Annotated[
        int, typer.Option(help="Open both bundles so many times, in turn, with --vs.", min=2)
    ] = 6,
    blocks: Annotated[
        int, typer.Option(help="Pairs of blocks in all openings together, with --vs.", min=1)
    ] = 24,
    max_p99_ms: Annotated[
        float, typer.Option(help="Fail above this 99th percentile of host_ms; 0: no limit.")
    ] = 0.0,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Save the raw samples to this JSON file.")
    ] = "",
    require_signature: o.RequireSignature = "",
    device: o.Device = "local",
    json: o.Json = False,
) -> None:
    """Time the engine of a bundle on this device."""
    from edgeseg.cli import findings, progress
    from edgeseg.devices import device_named
    from edgeseg.flow.bench import bench
    from edgeseg.runtime.signature import require_signed

    require_signed(require_signature, bundle, vs)
    with device_named(device) as there, progress.shown() as report:
        result = bench(
            bundle, vs=vs, min_runs=min_runs, min_seconds=min_seconds, streams=streams,
            threads=threads, cpus=cpus, warmup=warmup, openings=openings, blocks=blocks,
            max_p99_ms=max_p99_ms, output=output, device=there, progress=report,
        )  # fmt: skip
    raise typer.Exit(findings.timed(result, json))


def verify(
    bundle: o.BundlePath,
    data: o.Data = "",
    split: Annotated[str, typer.Option(help="Split of the data.")] = "val",
    images: Annotated[str, typer.Option(help="Folder of images without labels: agreement with FP32.")] = "",
    limit: Annotated[int, typer.Option(help="Score only the first N images; 0: all.", min=0)] = 0,
    max_drop: Annotated[
        float | None, typer.Option(help="Fail above this loss of mIoU (or mean Dice, mask AP), in points.")
    ] = None,
    max_class_drop: Annotated[
        list[str], typer.Option(metavar="CLASS=POINTS", help="The same for one class. Repeatable.")
    ] = [],  # noqa: B006
    max_drop_any_class: Annotated[
        float | None, typer.Option(help="The same for every class without a limit of its own.")
    ] = None,
    min_recall: Annotated[
        list[str],
        typer.Option(metavar="CLASS=POINTS", help="Fail if less of this class is found. Repeatable."),
    ] = [],  # noqa: B006
    min_precision: Annotated[
        list[str],
        typer.Option(
            metavar="CLASS=POINTS", help="Fail if less of what is taken for it is right. Repeatable."
        ),
    ] = [],  # noqa: B006
    tags: Annotated[
        str,
        typer.Option(metavar="FILE.csv", help="Tags of the images (night, rain): scores of each."),
    ] = "",
    max_drop_any_slice: Annotated[
        float | None, typer.Option(help="Fail if the images of any tag lose more of it. Needs --tags.")
    ] = None,
    max_calibration_error: Annotated[
        float | None,
        typer.Option(help="Fail if the confidence lies further from the share of right pixels, in points."),
    ] = None,
    reference: Annotated[
        str, typer.Option(metavar="BUNDLE", help="Compare with this bundle instead of the FP32 graph.")
    ] = "",
    threads: o.Threads = 0,
    worst: Annotated[int, typer.Option(help="Save this many of the worst frames as pictures.")] = 6,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder for the worst frames and verify.json.")
    ] = "",
    require_signature: o.RequireSignature = "",
    device: o.Device = "local",
    json: o.Json = False,
) -> None:
    """Score what the shipped engine finds, and what that lost against FP32."""
    from edgeseg.cli import choices, findings, progress
    from edgeseg.devices import device_named
    from edgeseg.flow.prove import verify_bundle
    from edgeseg.runtime.signature import require_signed

    require_signed(require_signature, bundle, reference)
    with device_named(device) as there, progress.shown() as report:
        result = verify_bundle(
            bundle, data=data, split=split, images=images, limit=limit,
            budget=choices.budget(
                max_drop, max_class_drop, max_drop_any_class,
                min_recall=min_recall, min_precision=min_precision,
                any_slice=max_drop_any_slice, max_calibration_error=max_calibration_error,
            ),
            reference=reference,
            tags=tags, threads=threads, worst=worst, output=output, device=there, progress=report,
        )  # fmt: skip
    raise typer.Exit(findings.verified(result, json))


def predict(
    bundle: o.BundlePath,
    source: Annotated[
        Path, typer.Argument(help="An image, a folder of images, or a video.", show_default=False)
    ],
    output: o.Output = Path("predictions"),
    alpha: Annotated[float, typer.Option(help="How strong the colours are, 0 to 1.", min=0.0, max=1.0)] = 0.5,
    masks: Annotated[
        bool, typer.Option(help="Also write what was found: class ids as palette PNG, things as JSON.")
    ] = True,
    require_signature: o.RequireSignature = "",
    json: o.Json = False,
) -> None:
    """Segment images or a video and write overlays and masks."""
    from edgeseg.cli import findings, progress
    from edgeseg.prediction.predict import predict
    from edgeseg.runtime.signature import require_signed

    require_signed(require_signature, bundle)
    with progress.shown() as report:
        result = predict(bundle, source, output, alpha=alpha, masks=masks, progress=report)
    findings.predicted(result, json)


def inspect(
    path: Annotated[Path, typer.Argument(help="A bundle folder or an .onnx file.", show_default=False)],
    profile: Annotated[bool, typer.Option(help="Run the engine and show the time of each layer.")] = False,
    layers: Annotated[bool, typer.Option(help="Show every layer, not only the sums.")] = False,
    json: o.Json = False,
) -> None:
    """Show what is inside: layers, operators, precision, parameters, MACs, size, contract, lineage."""
    from edgeseg.cli import findings, progress
    from edgeseg.flow.inspect import inspect

    with progress.shown() as report:
        report(f"running {path}" if profile else f"reading {path}")
        result = inspect(path, profile=profile)
    findings.inspected(result, layers=layers or profile, json=json)


COMMANDS = (bench, verify, predict, inspect)
