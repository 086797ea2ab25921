"""Camera frames on their way in: out of the caller's memory, channels in the order of the bundle."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.frame import Frame
from edgeseg.core.ports import Array
from edgeseg.errors import InputError

Frames = NDArray[Any]
"""[H,W,C] or [N,H,W,C], or the arrays of another layout: as the `Frame` of the bundle says."""
Color = Literal["rgb", "bgr"]
_SHAPES = {"packed": "[N,H,W,{}]", "nv12": "[N,H*3/2,W]", "yuyv": "[N,H,W,2]"}


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
    if not frame.colored or frame.layout != "packed":
        raise InputError(
            f"color is {color!r} for frames of {frame}",
            expected="no color: these frames have no channels of red, green and blue",
        )
    return frame.with_colors(color)


def as_frames(given: object) -> NDArray[Any]:
    """What a caller gives as frames, as an array. Raises InputError for what no array can be made of."""
    try:
        if hasattr(given, "__dlpack__") and not hasattr(given, "__array__"):
            return np.from_dlpack(given)
        return np.asarray(given)
    except (ValueError, TypeError, BufferError, RuntimeError) as fault:
        raise InputError(
            f"the frames are a {type(given).__name__} that is no array: {fault}",
            expected="an array [H,W,C] or [N,H,W,C]",
        ) from None


def frame_size(frames: Array, frame: Frame) -> tuple[int, int]:
    """(height, width) of the picture in each of [N,...].

    Raises:
        InputError: no frames of this dtype and rank.
    """
    size = frame.picture_size(frames.shape) if frames.ndim == len(frame.shape(1, 2, 2)) else (0, 0)
    if frames.dtype != frame.dtype or frames.shape != frame.shape(len(frames) if frames.ndim else 0, *size):
        raise InputError(
            f"frames are {frames.dtype} {list(frames.shape)}",
            expected=f"{frame.dtype} {_SHAPES.get(frame.layout, '[N,H,W]').format(frame.channels)}, {frame}",
        )
    return size


def given_size(frames: Array, frame: Frame) -> tuple[int, int] | None:
    """(height, width) of the picture in [H,W,C] or [N,H,W,C], where any size is allowed. Of one channel, C
    may be left out, but for a width of 1. None: no frames of this rank."""
    rank = len(frame.shape(2, 2))
    if frame.layout == "packed" and frame.channels == 1 and frames.ndim in (2, 3) and frames.shape[-1] != 1:
        return frames.shape[-2], frames.shape[-1]
    return frame.picture_size(frames.shape) if frames.ndim in (rank, rank + 1) else None


def fitting(frames: Array, frame: Frame, size: tuple[int, int], name: str, *, single: bool = False) -> Array:
    """Frames as arrays of `Frame.shape`, with N or without. Of one channel, C may be left out.

    Args:
        size: (height, width) of the picture; `name`: of the bundle.
        single: without N.

    Raises:
        InputError: another dtype or shape.
    """
    wanted = frame.shape(*size)
    gray = frame.layout == "packed" and frame.channels == 1
    whole = frames[..., None] if gray and frames.ndim in (2, 3) and frames.shape[-2:] == size else frames
    ranks = (len(wanted),) if single else (len(wanted), len(wanted) + 1)
    if whole.dtype == frame.dtype and whole.shape[-len(wanted) :] == wanted and whole.ndim in ranks:
        return whole
    sides = ",".join(map(str, wanted))
    about = f", channels in the order {frame.order.upper()} (load(color=...) sets another)"
    if frame.layout != "packed":
        about = f": pictures of {size[0]}x{size[1]} as {frame}"
    elif not frame.colored:
        about = ""
    raise InputError(
        f"the frame is {frames.dtype} {list(frames.shape)}",
        expected=f"{frame.dtype} [{sides}] or [N,{sides}], as '{name}' was exported{about}",
        hint="resize the frame, or export again with --camera-size of your camera",
    )


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
