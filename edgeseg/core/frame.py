"""Pixels as a camera delivers them."""

from __future__ import annotations

import math
from typing import Literal, get_args

import msgspec

from edgeseg.core.layouts import (
    BAYER,
    LAYOUTS,
    OTHER_LAYOUTS,
    PACKED_RAW,
    YCBCR,
    YUV,
    Layout,
    Ycbcr,
    array_shape,
    multiples,
    picture_size,
)
from edgeseg.errors import InputError

Dtype = Literal["uint8", "uint16", "float32"]
FULL_SCALE: dict[str, float] = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
"""The value of full light where nothing else is stated."""
MOST_CHANNELS = 256
COLORS = ("r", "g", "b")
_ORDERS = {"rgb": COLORS, "bgr": COLORS[::-1], "gray": ("gray",)}


class Frame(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one frame of a camera is: an array [H,W,C], or one of another layout that is converted to RGB.

    Attributes:
        order: what the channels are: `rgb`, `bgr`, `gray`, their names joined by commas (`r,g,b,depth`), or
            their number where they have no names (`5`).
        dtype: of a value.
        maximum: the value of full light: 255, 65535 or 1.0 by the dtype unless stated, as 4095 of a camera
            with 12 bits in uint16.
        layout: how the pixels lie in memory; other than `packed`, the network sees rgb.
        ycbcr: of `nv12` and `yuyv`, how luma and chroma are made of colours; `bt601` unless stated.
    """

    order: str = "rgb"
    dtype: Dtype = "uint8"
    maximum: float | None = None
    layout: Layout = "packed"
    ycbcr: Ycbcr | None = None

    def __post_init__(self) -> None:
        self._check_layout()
        names = self.names
        letters = len(names) == 1 and len(self.order) > 2 and set(self.order) <= set("rgbax")
        if letters or not all(names) or len(set(names)) < len(names) or not 1 <= len(names) <= MOST_CHANNELS:
            raise ValueError(
                f"order is {self.order!r}, expected rgb, bgr, gray, different names joined by commas as in "
                f"r,g,b,depth, or a number of channels from 1 to {MOST_CHANNELS}"
            )
        if self.maximum is None:
            msgspec.structs.force_setattr(self, "maximum", FULL_SCALE[self.dtype])
        most = math.inf if self.dtype == "float32" else FULL_SCALE[self.dtype]
        if not 0 < self.full <= most or math.isinf(self.full):
            held = "a finite number" if math.isinf(most) else f"at most {most:.0f}"
            raise ValueError(f"maximum is {self.maximum}, expected a number above 0, {held} in {self.dtype}")

    def _check_layout(self) -> None:
        if self.layout != "packed" and self.order != "rgb":
            raise ValueError(f"order is {self.order!r}, expected rgb: {self.layout} is converted to it")
        if self.layout in YUV:
            if self.dtype != "uint8" or self.maximum not in (None, 255):
                raise ValueError(f"{self.layout} holds uint8 with full light at 255, as ycbcr says")
            if self.ycbcr is None:
                msgspec.structs.force_setattr(self, "ycbcr", YCBCR[0])
        elif self.ycbcr is not None:
            raise ValueError(f"ycbcr is {self.ycbcr!r}, expected none: {self.layout} has no luma and chroma")
        elif self.layout != "packed" and self.dtype == "float32":
            raise ValueError(f"the dtype of {self.layout} is float32, expected uint8 or uint16")

    @classmethod
    def parse(cls, text: str) -> Frame:
        """`ORDER[:DTYPE[:MAXIMUM]]`, as in `gray`, `bgr:uint16` or `r,g,b,depth:float32:10`; a Bayer layout
        in place of ORDER, as in `bayer_rggb:uint16:4095`; or `nv12[:YCBCR]` or `yuyv[:YCBCR]`, as in
        `nv12:bt709-full`.

        Raises:
            InputError: another text.
        """
        order, _, rest = text.partition(":")
        dtype, _, maximum = rest.partition(":")
        if order in (*LAYOUTS, *OTHER_LAYOUTS) or order.startswith("bayer"):
            return cls._parse_layout(text, order, dtype, maximum)
        try:
            if dtype and dtype not in get_args(Dtype):
                raise ValueError(f"the dtype is {dtype!r}, expected one of {', '.join(get_args(Dtype))}")
            return cls(
                order=order,
                dtype=dtype or "uint8",  # type: ignore[arg-type]
                maximum=float(maximum) if maximum else None,
            )
        except ValueError as fault:
            raise InputError(
                f"the frame is {text!r}: {fault}",
                expected="ORDER[:DTYPE[:MAXIMUM]], as in gray, bgr:uint16:4095 or r,g,b,depth:float32",
            ) from None

    @classmethod
    def _parse_layout(cls, text: str, layout: str, rest: str, maximum: str) -> Frame:
        try:
            if layout not in LAYOUTS[1:]:
                raise ValueError(f"the layout is {layout!r}, expected one of {', '.join(LAYOUTS[1:])}")
            if rest in PACKED_RAW:
                raise ValueError(
                    f"{rest} values share bytes, and no engine here takes them apart; let the driver or the "
                    f"program unpack them to 16 bits, and say {layout}:uint16:{2 ** int(rest[3:]) - 1}"
                )
            if layout in YUV:
                if maximum or rest not in ("", *YCBCR):
                    raise ValueError(f"{layout} is followed by one of {', '.join(YCBCR)}, or by nothing")
                return cls(layout=layout, ycbcr=rest or None)  # type: ignore[arg-type]
            if rest not in ("", "uint8", "uint16"):
                raise ValueError(f"the dtype is {rest!r}, expected uint8 or uint16")
            return cls(
                layout=layout,  # type: ignore[arg-type]
                dtype=rest or "uint8",  # type: ignore[arg-type]
                maximum=float(maximum) if maximum else None,
            )
        except ValueError as fault:
            raise InputError(
                f"the frame is {text!r}: {fault}", expected="as in nv12, yuyv:bt709 or bayer_rggb:uint16:4095"
            ) from None

    def __str__(self) -> str:
        """Text that `parse` reads."""
        if self.layout in YUV:
            return self.layout if self.ycbcr == YCBCR[0] else f"{self.layout}:{self.ycbcr}"
        stated = "" if self.full == FULL_SCALE[self.dtype] else f":{repr(self.full).removesuffix('.0')}"
        dtype = f":{self.dtype}" if stated or self.dtype != "uint8" else ""
        return f"{self.order if self.layout == 'packed' else self.layout}{dtype}{stated}"

    @property
    def names(self) -> tuple[str, ...]:
        """One per channel."""
        if self.order in _ORDERS:
            return _ORDERS[self.order]
        if self.order.isdecimal():
            return tuple(f"channel{i}" for i in range(min(int(self.order), MOST_CHANNELS + 1)))
        return tuple(name.strip() for name in self.order.split(","))

    @property
    def channels(self) -> int:
        return len(self.names)

    @property
    def full(self) -> float:
        return self.maximum or FULL_SCALE[self.dtype]

    @property
    def named(self) -> bool:
        return not self.order.isdecimal()

    @property
    def colored(self) -> bool:
        """Whether red, green and blue are among the channels."""
        return set(COLORS) <= set(self.names)

    @property
    def light(self) -> list[int]:
        """The channels that change with the light: colours, else gray, else all. What stands beside colours
        or gray under another name, as depth, says something that a lamp does not change."""
        for light in (COLORS, ("gray",)):
            if found := [index for index, name in enumerate(self.names) if name in light]:
                return found
        return list(range(self.channels))

    def with_colors(self, order: str) -> Frame:
        """The same channels, packed, those of the colours in the order `rgb` or `bgr`."""
        if not self.colored:
            return self
        colors = iter(_ORDERS[order])
        names = tuple(next(colors) if name in COLORS else name for name in self.names)
        known = {names: order for order, names in _ORDERS.items()}
        order = known.get(names, ",".join(names))
        return msgspec.structs.replace(self, order=order, layout="packed", ycbcr=None)

    @property
    def shown(self) -> Frame:
        """As edgeseg holds the pixels of images: packed, colours in the order red, green, blue."""
        return self.with_colors("rgb")

    def positions(self, wanted: Frame) -> tuple[int, ...]:
        """For each channel of `wanted`, which of these it is. Both have the same names."""
        return tuple(self.names.index(name) for name in wanted.names)

    @classmethod
    def fitting(cls, channels: int, seen: Frame | None) -> Frame:
        """What the camera delivers to a network of so many input channels, where nobody states it.

        Args:
            seen: what the images are, None: there are none.
        """
        if seen is not None and seen.channels == channels:
            return seen
        order = usual_order(channels)
        if seen is None:
            return cls(order=order)
        return cls(order=order, dtype=seen.dtype, maximum=seen.maximum)

    @property
    def pattern(self) -> str:
        """Colours of the upper left 2x2 pixels of a Bayer mosaic, row by row; empty for other layouts."""
        return self.layout[len(BAYER) :] if self.layout.startswith(BAYER) else ""

    def shape(self, *leading: int) -> tuple[int, ...]:
        """Of an array of frames: `leading` are [H,W] or [N,H,W] of the picture."""
        *count, height, width = leading
        return (*count, *array_shape(self.layout, height, width, self.channels))

    def picture_size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """(height, width) of the picture in an array of this shape, with or without N."""
        return picture_size(self.layout, shape)

    def require_size(self, size: tuple[int, int]) -> None:
        """
        Raises:
            InputError: no frame of this layout has this (height, width).
        """
        if any(side % step for side, step in zip(size, multiples(self.layout))):
            raise InputError(
                f"the camera size is {size[0]}x{size[1]} (height x width), the frames are {self.layout}",
                expected=f"an even {'width' if self.layout == 'yuyv' else 'height and an even width'}",
                hint="state the size that the camera delivers with --camera-size",
            )


def usual_order(channels: int) -> str:
    """Of so many channels that nobody names: one is gray, three are rgb."""
    return {1: "gray", 3: "rgb"}.get(channels, str(channels))
