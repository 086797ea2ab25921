"""The one contract for pixels in. Training, calibration, verification and the device read this."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Literal

import msgspec

from edgeseg.errors import InputError

Size = tuple[int, int]
"""(height, width) in pixels."""

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


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where a camera frame lies inside the network input, all in network input pixels.

    The frame is resized to `scaled` and put with its top left corner at (`top`, `left`).
    """

    frame: Size
    input: Size
    scaled: Size
    top: int
    left: int

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
    """Camera frame (uint8 HWC) to network input (float CHW).

    The value of a pixel is `(x * scale - mean) / std`, per channel in the order `color`.

    Attributes:
        color: channel order the network was trained with.
        frame_color: channel order of the frames the device delivers.
        scale: multiplier of the 0-255 value, before mean and std.
        mean, std: per channel, in units of the scaled value.
        resize: `none` puts the frame in as it is and pads; `stretch` resizes both axes to the
            input; `letterbox` keeps the aspect ratio and pads. Bilinear, half-pixel centres.
        anchor: where the frame lies in the padded input.
        pad_value: what the padding holds.
        pad_space: `normalized`: `pad_value` is in units of the network input;
            `pixel`: it is a 0-255 value that is normalised like the image.
    """

    color: Literal["rgb", "bgr"] = "rgb"
    frame_color: Literal["rgb", "bgr"] = "rgb"
    scale: float = 1.0 / 255.0
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    resize: Literal["none", "stretch", "letterbox"] = "none"
    anchor: Literal["top-left", "center"] = "top-left"
    pad_value: float = 0.0
    pad_space: Literal["normalized", "pixel"] = "normalized"

    def __post_init__(self) -> None:
        for name in ("scale", "mean", "std", "pad_value"):
            value = getattr(self, name)
            if not all(map(math.isfinite, value if isinstance(value, tuple) else (value,))):
                raise ValueError(f"{name} is {value}, expected finite numbers")
        if self.scale <= 0:
            raise ValueError(f"scale is {self.scale}, expected a positive number")
        if min(self.std) <= 0:
            raise ValueError(f"std is {self.std}, expected positive numbers")

    def affine(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(multiplier, offset) per channel: network value = pixel * multiplier + offset."""
        multiplier = tuple(self.scale / s for s in self.std)
        offset = tuple(-m / s for m, s in zip(self.mean, self.std))
        return multiplier, offset

    def padding_values(self) -> tuple[float, ...]:
        """Per channel, in units of the network input."""
        if self.pad_space == "normalized":
            return (self.pad_value,) * 3
        multiplier, offset = self.affine()
        return tuple(self.pad_value * m + o for m, o in zip(multiplier, offset))

    def place(self, frame: Size, network_input: Size) -> Placement:
        """Lay a frame of (height, width) into the network input.

        Raises:
            InputError: with `resize="none"` the frame is larger than the input.
        """
        if self.resize == "none":
            if frame[0] > network_input[0] or frame[1] > network_input[1]:
                raise InputError(
                    f"a frame of {frame[0]}x{frame[1]} (height x width) does not fit the network "
                    f"input of {network_input[0]}x{network_input[1]}",
                    expected="a frame no larger than the input, or a resize rule",
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
        return Placement(frame=frame, input=network_input, scaled=scaled, top=top, left=left)
