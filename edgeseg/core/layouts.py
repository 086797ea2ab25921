"""How the pixels of a frame lie in memory. Names are those of V4L2 and ROS."""

from __future__ import annotations

from typing import Literal, get_args

Layout = Literal["packed", "nv12", "yuyv", "bayer_rggb", "bayer_bggr", "bayer_grbg", "bayer_gbrg"]
"""`packed`: [H,W,C]. `nv12`: uint8 [H*3/2,W], H rows of luma, then H/2 rows of Cb and Cr in turn, one of
each for 2x2 pixels. `yuyv` (also called YUY2): uint8 [H,W,2], luma and then in turn Cb and Cr, one of each
for two pixels of a row. `bayer_*`: [H,W], one colour per pixel; the letters are those of the upper left 2x2
pixels, row by row."""
Ycbcr = Literal["bt601", "bt601-full", "bt709", "bt709-full"]
"""ITU-R BT.601 or BT.709; limited range (luma 16 to 235, chroma 16 to 240), or with `-full` 0 to 255."""
LAYOUTS: tuple[str, ...] = get_args(Layout)
YCBCR: tuple[str, ...] = get_args(Ycbcr)
BAYER, YUV = "bayer_", ("nv12", "yuyv")
OTHER_LAYOUTS = (
    "nv21",
    "nv16",
    "nv24",
    "i420",
    "yv12",
    "uyvy",
    "yuy2",
    "yvyu",
    "vyuy",
    "p010",
    "y10p",
    "y12p",
)
"""Refused by name: else they would be names of a channel."""
PACKED_RAW = ("raw10", "raw12", "raw14")
"""Of MIPI CSI-2: values that share bytes."""
_MULTIPLES = {"packed": (1, 1), "nv12": (2, 2), "yuyv": (1, 2)}


def multiples(layout: str) -> tuple[int, int]:
    """What height and width are multiples of."""
    return _MULTIPLES.get(layout, (2, 2))


def array_shape(layout: str, height: int, width: int, channels: int) -> tuple[int, ...]:
    """Of the array that holds one picture."""
    if layout == "nv12":
        return (height * 3 // 2, width)
    if layout == "yuyv":
        return (height, width, 2)
    return (height, width) if layout.startswith(BAYER) else (height, width, channels)


def picture_size(layout: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """(height, width) of the pictures in an array whose last axes are those of `array_shape`."""
    if layout == "nv12":
        return shape[-2] * 2 // 3, shape[-1]
    return (shape[-2], shape[-1]) if layout.startswith(BAYER) else (shape[-3], shape[-2])
