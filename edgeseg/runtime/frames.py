"""Camera frames on their way in: out of the caller's memory, channels in the order of the bundle."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.frame import Frame
from edgeseg.errors import InputError

Frames = NDArray[Any]
"""[H,W,C] or [N,H,W,C], values and channels as the `Frame` of the bundle says."""
Color = Literal["rgb", "bgr"]


def given_frame(frame: Frame, color: str | None) -> Frame:
    """What a program gives to a bundle of `frame` with `load(color=...)`.

    Raises:
        InputError: an order of colours that is not known, or none that these frames have.
    """
    if color is None:
        return frame
    if color not in get_args(Color):
        raise InputError(
            f"color is {color!r}",
            expected="'rgb' (Pillow, imageio) or 'bgr' (OpenCV): the order of the channels in your frames",
        )
    if not frame.colored:
        raise InputError(
            f"color is {color!r} for frames of {frame}",
            expected="no color: these frames have no red, green and blue",
        )
    return frame.with_colors(color)


def as_frames(given: object) -> NDArray[Any]:
    """What a caller gives as frames, as an array. Raises InputError for what no array can be made of."""
    try:
        return np.asarray(given)
    except (ValueError, TypeError) as fault:
        raise InputError(
            f"the frames are a {type(given).__name__} that is no array: {fault}",
            expected="an array [H,W,C] or [N,H,W,C]",
        ) from None


def copy_frames(frames: Frames, to: Frames, *, positions: tuple[int, ...]) -> None:
    """Copy [...,C] into an array of the same shape, where channel i is that of `positions[i]`.

    Channel by channel: NumPy copies `frames[..., ::-1]` pixel by pixel (`benchmarks/frame_copy.py`).
    """
    np.copyto(to, frames)
    for place, source in enumerate(positions):
        if place != source:
            np.copyto(to[..., place], frames[..., source])


def for_engine(frames: Frames, info: TensorInfo) -> NDArray[Any]:
    """C-contiguous frames as an engine takes them: their bytes where it has no integers of 16 bits."""
    wide = frames.dtype == np.uint16 and info.dtype == "uint8"
    return np.ascontiguousarray(frames).view(np.uint8) if wide else frames


def engine_inputs(
    frame: Frame, batch: int, camera_size: tuple[int, int]
) -> list[tuple[str, tuple[int, ...]]]:
    """Dtype and shape that the input of an engine may have. See `for_engine`."""
    shape = frame.shape(batch, *camera_size)
    bytes_of = [("uint8", (*shape[:-1], 2 * shape[-1]))] if frame.dtype == "uint16" else []
    return [(frame.dtype, shape), *bytes_of]
