"""Camera frames on their way in: out of the caller's memory, channels in the order of the bundle."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError

Frames = NDArray[np.uint8]
Color = Literal["rgb", "bgr"]


def require_color(color: str) -> None:
    """Raises InputError for a channel order that is not known."""
    if color not in get_args(Color):
        raise InputError(
            f"color is {color!r}",
            expected="'rgb' (Pillow, imageio) or 'bgr' (OpenCV): the order of the channels in your frames",
        )


def as_frames(given: object) -> NDArray[Any]:
    """What a caller gives as frames, as an array. Raises InputError for what no array can be made of."""
    try:
        return np.asarray(given)
    except (ValueError, TypeError) as fault:
        raise InputError(
            f"the frames are a {type(given).__name__} that is no array: {fault}",
            expected="a uint8 array [H,W,3] or [N,H,W,3]",
        ) from None


def copy_frames(frames: Frames, to: Frames, *, swap: bool) -> None:
    """Copy uint8 [...,3] into an array of the same shape, if asked with its first and last channel swapped.

    Channel by channel: NumPy copies `frames[..., ::-1]` pixel by pixel (`benchmarks/frame_copy.py`).
    """
    np.copyto(to, frames)
    if swap:
        np.copyto(to[..., 0], frames[..., 2])
        np.copyto(to[..., 2], frames[..., 0])
