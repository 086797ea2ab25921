"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeseg.errors import InputError

BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle folder.", show_default=False)]
RequireSignature = Annotated[
    str,
    typer.Option(
        metavar="PUBLIC.pem", help="Refuse bundles without a signature by this key.", show_default=False
    ),
]
Device = Annotated[
    str,
    typer.Option(metavar="NAME[:ADDRESS]", help="Where engines are: here, or a device (docs/devices.md)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Overwrite = Annotated[bool, typer.Option(help="Replace bundles that are already there.")]
Threads = Annotated[int, typer.Option(help="Inference threads on a CPU; 0: as the target says.", min=0)]
Output = Annotated[Path, typer.Option("--output", "-o", help="Where results go.")]

Model = Annotated[
    str,
    typer.Option(help="A zoo name, path/to/net.py:factory, a .onnx or a .pt2 file.", show_default=False),
]
WeightsFile = Annotated[
    str, typer.Option(help="Checkpoint: .pt, .pth (tensors only) or .safetensors.", show_default=False)
]
WeightsKey = Annotated[
    str,
    typer.Option(metavar="KEY", help="Which weights of a checkpoint that holds several, as in ema."),
]
Classes = Annotated[
    str,
    typer.Option(help="How many classes, a dataset's name, or a classes .toml.", show_default=False),
]
InputSize = Annotated[
    str, typer.Option(metavar="HxW", help="Network input, height x width.", show_default=False)
]
CameraSize = Annotated[
    str,
    typer.Option(metavar="HxW", help="Frames of the camera, height x width.", show_default="the input size"),
]
Tile = Annotated[
    str,
    typer.Option(
        metavar="HxW",
        help="Frames are cut into tiles of this size that overlap, and not resized to the network.",
        show_default=False,
    ),
]
Overlap = Annotated[
    int | None,
    typer.Option(
        help="Pixels that neighbouring tiles share, at least.",
        min=0,
        show_default="64, or a quarter of the shorter side",
    ),
]
TileBlend = Annotated[
    str,
    typer.Option(
        "--blend",
        metavar="gaussian|flat",
        help="How the scores of tiles that overlap are averaged.",
        show_default="gaussian",
    ),
]
BuildOption = Annotated[
    list[str],
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="Option of the engine's builder, as in workspace_mb=1024. Repeatable.",
    ),
]
ModelOption = Annotated[
    list[str],
    typer.Option(
        "--option", metavar="KEY=VALUE", help="Option of the network, as in encoder=resnet34. Repeatable."
    ),
]
Contract = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A field of the pixel contract, as in mean=0.5,0.5,0.5 color=bgr resize=letterbox "
        "activation=sigmoid output=NAME task=multilabel threshold=0.4. Repeatable.",
    ),
]
TrustFile = Annotated[bool, typer.Option(help="Open a .pt2, which can run code from its author.")]
Data = Annotated[
    str,
    typer.Option(
        metavar="NAME[=ROOT]",
        help="Labelled images: synthetic-streets, camvid=PATH, cityscapes=PATH, folders=PATH, or a PATH "
        "whose dataset.toml tells.",
        show_default=False,
    ),
]


MOST_DIGITS = 18
"""Of an integer: what 64 bits hold."""


def command_line() -> str:
    """What the user typed, for the record."""
    return shlex.join(["edgeseg", *sys.argv[1:]])


def size(text: str) -> tuple[int, int] | None:
    """`480x640` to (480, 640); empty to None."""
    if not text:
        return None
    match = re.fullmatch(r"([0-9]+)[xX]([0-9]+)", text)
    if match is None or any(len(side) > MOST_DIGITS or int(side) == 0 for side in match.groups()):
        raise InputError(f"'{text[:80]}' is not a size", expected="HEIGHTxWIDTH in pixels, as in 480x640")
    return int(match[1]), int(match[2])


def whole(text: str, option: str) -> int:
    """A number of decimal digits. Raises InputError for more of them than any count has."""
    if len(text) > MOST_DIGITS:
        raise InputError(
            f"{option} is a number of {len(text)} digits: {text[:20]}...", expected=f"at most {MOST_DIGITS}"
        )
    return int(text)


def pairs(texts: list[str], option: str, *, text: tuple[str, ...] = ()) -> dict[str, Any]:
    """`["a=1", "b=x,y"]` to {"a": 1, "b": ("x", "y")}: numbers, true/false/none and comma lists are read.

    Args:
        text: keys whose value is taken as it is: a name may be `1959`.
    """
    result: dict[str, Any] = {}
    for given in texts:
        key, equals, value = given.partition("=")
        if not equals or not key:
            raise InputError(f"{option} {given}", expected=f"{option} KEY=VALUE")
        key = key.strip()
        items = (
            (value,) if key in text else tuple(_scalar(part, f"{option} {key}") for part in value.split(","))
        )
        result[key] = items if len(items) > 1 else items[0]
    return result


def _scalar(text: str, where: str) -> str | int | float | bool | None:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    if re.fullmatch(r"[+-]?[0-9_]+", text.strip()) and len(text) > MOST_DIGITS:
        whole(text.strip(), where)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
