"""The one contract for pixels in. Training, calibration, verification and the device read this."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Literal

import msgspec

from edgeseg.core.documents import convert
from edgeseg.core.frame import COLORS, Frame
from edgeseg.core.region import Part, Region, check_region, part_of, require_inside
from edgeseg.errors import InputError

Size = tuple[int, int]
"""(height, width) in pixels."""
Shape = tuple[int, int, int]
"""(channels, height, width) of the input of a network."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def assumed_normalisation(stated: Collection[str]) -> tuple[str, ...]:
    """A warning where nothing states how a network from outside was fed; empty where mean and std are stated.

    Args:
        stated: fields of `Preprocess` that the user gave.
    """
    if {"mean", "std"} <= set(stated):
        return ()
    assumed = [name for name in ("color", "scale", "mean", "std") if name not in stated]
    return (
        f"WARNING: {', '.join(assumed)} of the network's input are not stated; those of ImageNet in RGB are "
        "assumed, and the masks are wrong if the network was trained with others: state them, as in "
        "--set mean=0.5,0.5,0.5 --set std=0.5,0.5,0.5",
    )


def assumed_frame(stated: Collection[str], contract: Preprocess) -> tuple[str, ...]:
    """A sentence where nobody stated the frames of the camera, and they are not the usual ones."""
    if "frame" in stated or contract.frame == Frame():
        return ()
    return (
        f"frames are {contract.frame} (order:dtype:maximum), as the network and the images tell; state "
        "others with --set frame=...",
    )


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where a camera frame lies inside the network input, in network input pixels.

    What the network sees is resized to `scaled` and put with its top left corner at (`top`, `left`).

    Attributes:
        camera: (height, width) of the camera's frame.
        frame: of what the network sees, and of what is returned: of all of it, or of its region.
        part: that region; None: all.
    """

    camera: Size
    frame: Size
    input: Size
    scaled: Size
    top: int
    left: int
    part: Part | None = None

    @property
    def resized(self) -> bool:
        return self.frame != self.scaled

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """(top, left, bottom, right)."""
        bottom = self.input[0] - self.scaled[0] - self.top
        right = self.input[1] - self.scaled[1] - self.left
        return self.top, self.left, bottom, right

    @property
    def padded(self) -> bool:
        return any(self.padding)

    @property
    def window(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(first, end) of the rows and of the columns that hold the frame."""
        return (self.top, self.top + self.scaled[0]), (self.left, self.left + self.scaled[1])


class Preprocess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Camera frame to network input (float CHW).

    The value of a pixel is `(x * scale - mean) / std`, per channel in the order of the network.

    Attributes:
        frame: what the camera delivers.
        region: (top, left, height, width) in pixels of the camera's frame: the network sees this part alone,
            and what is returned has its size; None: the whole frame.
        color: order of the colours the network was trained with; its other channels stand as in the frame.
        scale: multiplier of a pixel's value, before mean and std; 1 / `frame.maximum` unless stated.
        mean, std: per channel, or one number for all, in units of the scaled value. Unless stated those of
            ImageNet.
        resize: `none` puts the frame in as it is and pads; `stretch` resizes both axes to the
            input; `letterbox` keeps the aspect ratio and pads. Bilinear, half-pixel centres.
        anchor: where the frame lies in the padded input.
        pad_value: what the padding holds.
        pad_space: `normalized`: `pad_value` is in units of the network input;
            `pixel`: it is the value of a pixel that is normalised like the image.
    """

    frame: Frame = Frame()
    region: Region | None = None
    color: Literal["rgb", "bgr"] = "rgb"
    scale: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: Literal["none", "stretch", "letterbox"] = "none"
    anchor: Literal["top-left", "center"] = "top-left"
    pad_value: float = 0.0
    pad_space: Literal["normalized", "pixel"] = "normalized"

    def __post_init__(self) -> None:
        if self.scale is None:
            msgspec.structs.force_setattr(self, "scale", 1.0 / self.frame.full)
        self._fill("mean", dict(zip(COLORS, IMAGENET_MEAN)))
        self._fill("std", dict(zip(COLORS, IMAGENET_STD)))
        for name in ("scale", "mean", "std", "pad_value"):
            value = getattr(self, name)
            if not all(map(math.isfinite, value if isinstance(value, tuple) else (value,))):
                raise ValueError(f"{name} is {value}, expected finite numbers")
        if self.multiplier <= 0:
            raise ValueError(f"scale is {self.scale}, expected a positive number")
        if min(self.std) <= 0:
            raise ValueError(f"std is {self.std}, expected positive numbers")
        if self.region is not None:
            check_region(self.region)

    def _fill(self, field: str, known: dict[str, float]) -> None:
        """One number per channel, whatever was stated."""
        stated, count = getattr(self, field), self.channels
        if not stated:
            msgspec.structs.force_setattr(self, field, _by_name(known, self.names))
        elif len(stated) == 1:
            msgspec.structs.force_setattr(self, field, stated * count)
        elif len(stated) != count:
            raise ValueError(
                f"{field} has {len(stated)} numbers, expected one, or {count}: one per channel of the frame "
                f"{self.frame}"
            )

    @property
    def multiplier(self) -> float:
        """Of the value of a pixel, before mean and std."""
        return 1.0 / self.frame.full if self.scale is None else self.scale

    @property
    def channels(self) -> int:
        """Of the network input."""
        return self.frame.channels

    @property
    def names(self) -> tuple[str, ...]:
        """Of the channels of the network input."""
        return self.frame.with_colors(self.color).names

    @property
    def permutation(self) -> tuple[int, ...]:
        """For each channel of the network input, which one of the frame it is."""
        return self.frame.positions(self.frame.with_colors(self.color))

    @property
    def permuted(self) -> bool:
        return self.permutation != tuple(range(self.channels))

    @property
    def of_images(self) -> Preprocess:
        """For pixels as edgeseg holds those of images, `Frame.shown`."""
        return msgspec.structs.replace(self, frame=self.frame.shown)

    def affine(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(multiplier, offset) per channel: network value = pixel * multiplier + offset."""
        multiplier = tuple(self.multiplier / s for s in self.std)
        offset = tuple(-m / s for m, s in zip(self.mean, self.std))
        return multiplier, offset

    def padding_values(self) -> tuple[float, ...]:
        """Per channel, in units of the network input."""
        if self.pad_space == "normalized":
            return (self.pad_value,) * self.channels
        multiplier, offset = self.affine()
        return tuple(self.pad_value * m + o for m, o in zip(multiplier, offset))

    def seen(self, camera: Size) -> Size:
        """(height, width) of what the network sees of a frame of the size `camera`.

        Raises:
            InputError: the region does not lie inside the frame, or its edges part pixels that share colours.
        """
        if self.region is None:
            return camera
        require_inside(self.region, camera, self.frame.layout)
        return self.region[2:]

    def part_of(self, picture: Size, camera: Size) -> Part | None:
        """What the network sees of a picture of (height, width) that is resized to the size `camera` first,
        in pixels of the picture; None: all of it."""
        return None if self.region is None else part_of(self.region, camera, picture)

    def place(self, frame: Size, network_input: Size) -> Placement:
        """Lay a frame of (height, width), or its region, into the network input.

        Raises:
            InputError: with `resize="none"` what the network sees is larger than the input, the layout has no
                such size; or as `seen`.
        """
        self.frame.require_size(frame)
        camera, frame = frame, self.seen(frame)
        part, noun = self.part_of(camera, camera), "frame" if self.region is None else "region"
        if self.resize == "none":
            if frame[0] > network_input[0] or frame[1] > network_input[1]:
                raise InputError(
                    f"a {noun} of {frame[0]}x{frame[1]} (height x width) does not fit the network "
                    f"input of {network_input[0]}x{network_input[1]}",
                    expected=f"a {noun} no larger than the input, or a resize rule",
                    hint="use --set resize=letterbox (or stretch), or a larger --input-size",
                )
            scaled = frame
        elif self.resize == "stretch":
            scaled = network_input
        else:
            ratio = min(network_input[0] / frame[0], network_input[1] / frame[1])
            scaled = (
                min(network_input[0], max(1, round(frame[0] * ratio))),
                min(network_input[1], max(1, round(frame[1] * ratio))),
            )
        top = left = 0
        if self.anchor == "center":
            top = (network_input[0] - scaled[0]) // 2
            left = (network_input[1] - scaled[1]) // 2
        return Placement(
            camera=camera, frame=frame, input=network_input, scaled=scaled, top=top, left=left, part=part
        )


def stated_preprocess(
    fields: Mapping[str, Any],
    default: Preprocess | None = None,
    *,
    frame: Frame | None = None,
    error: type[InputError] = InputError,
) -> Preprocess:
    """The contract that a user states in part, as `--set` and recipes do.

    With another frame than that of `default`, its scale, mean and std become those of the new frame: channels
    of the same name keep theirs, others take the average.

    Args:
        fields: of `Preprocess`; a frame may be text that `Frame.parse` reads, mean and std one number.
        default: the fields that are not stated.
        frame: what it is where none is stated.

    Raises:
        error: a field that is not known, or a value that makes no sense.
    """
    default, given = default or Preprocess(), dict(fields)
    if isinstance(given.get("frame"), str):
        given["frame"] = msgspec.to_builtins(Frame.parse(given["frame"]))
    for name in ("mean", "std"):
        if isinstance(given.get(name), (int, float)):
            given[name] = (given[name],)
    if "frame" not in given and frame is not None:
        given["frame"] = msgspec.to_builtins(frame)
    whole = convert({"color": default.color, **given}, Preprocess, where="preprocess", error=error)
    kept = msgspec.structs.asdict(default) | {"frame": whole.frame, "scale": default.multiplier}
    kept["scale"] *= default.frame.full / whole.frame.full
    for field in ("mean", "std"):
        kept[field] = _by_name(dict(zip(default.names, kept[field])), whole.names)
    return msgspec.structs.replace(whole, **{k: v for k, v in kept.items() if k not in given})


def _by_name(known: Mapping[str, float], names: tuple[str, ...]) -> tuple[float, ...]:
    """One value per channel: its own, or the average of those that are known."""
    average = round(sum(known.values()) / len(known), 6)
    return tuple(known.get(name, average) for name in names)
