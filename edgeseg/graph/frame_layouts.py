"""Frames of every layout to float32 RGB in the deploy graph. It equals `runtime.frame_layouts`."""

from __future__ import annotations

import numpy as np

from edgeseg.core.frame import Frame
from edgeseg.core.preprocess import Size
from edgeseg.graph.writer import Writer
from edgeseg.runtime.frame_layouts import demosaic_kernels, rgb_of_ycbcr


def write_unpacked(write: Writer, values: str, frame: Frame, batch: int, size: Size) -> str:
    """
    Args:
        values: float32, of the shape of the frames.
        size: (height, width) of the picture.

    Returns:
        float32 [N,C,H,W].
    """
    if frame.layout == "packed":
        return write.op("Transpose", "channels_first", [values], perm=[0, 3, 1, 2])
    if frame.pattern:
        return _demosaiced(write, values, frame.pattern, batch, size)
    luma, chroma, rows = (_nv12 if frame.layout == "nv12" else _yuyv)(write, values, batch, size)
    scale, weights, offset = rgb_of_ycbcr(frame)
    colors = write.op(
        "Conv",
        "of_chroma",
        [chroma, write.constant("chroma_weights", weights[:, :, None, None]), write.constant("bias", offset)],
        kernel_shape=[1, 1],
    )
    for axis, length, label in ((3, size[1], "columns"), (2, rows, "rows")):
        if length:
            places = write.integers(f"chroma_{label}", [place // 2 for place in range(length)])
            colors = write.op("Gather", f"repeat_{label}", [colors, places], axis=axis)
    scaled = write.op("Mul", "of_luma", [luma, write.constant("luma_scale", np.array(scale, np.float32))])
    bounds = [
        write.constant(name, np.array(v, np.float32)) for name, v in (("dark", 0), ("full", frame.full))
    ]
    return write.op("Clip", "rgb", [write.op("Add", "luma_and_chroma", [scaled, colors]), *bounds])


def _nv12(write: Writer, values: str, batch: int, size: Size) -> tuple[str, str, int]:
    """Luma [N,1,H,W], chroma [N,2,H/2,W/2], and how many rows they become."""
    height, width = size
    luma = _rows(write, values, 0, height, "luma")
    chroma = _rows(write, values, height, height + height // 2, "chroma")
    return _plane(write, luma, batch, size), _pairs(write, chroma, batch, height // 2, width), height


def _yuyv(write: Writer, values: str, batch: int, size: Size) -> tuple[str, str, int]:
    """Luma [N,1,H,W], chroma [N,2,H,W/2], and 0: each row has its own."""
    luma, chroma = (
        write.op(
            "Gather", label, [values, write.constant(f"{label}_place", np.array(place, np.int64))], axis=3
        )
        for place, label in enumerate(("luma", "chroma"))
    )
    return _plane(write, luma, batch, size), _pairs(write, chroma, batch, *size), 0


def _rows(write: Writer, values: str, start: int, end: int, label: str) -> str:
    bounds = {"starts": start, "ends": end, "axes": 1}
    limits = [write.integers(f"{label}_{name}", [value]) for name, value in bounds.items()]
    return write.op("Slice", label, [values, *limits])


def _plane(write: Writer, values: str, batch: int, size: Size) -> str:
    return write.op("Reshape", "plane", [values, write.integers("plane_shape", (batch, 1, *size))])


def _pairs(write: Writer, values: str, batch: int, height: int, width: int) -> str:
    """[N,h,w], Cb and Cr in turn, to [N,2,h,w/2]."""
    shape = write.integers("pairs_shape", (batch, height, width // 2, 2))
    pairs = write.op("Reshape", "pairs", [values, shape])
    return write.op("Transpose", "pairs_first", [pairs], perm=[0, 3, 1, 2])


def _demosaiced(write: Writer, values: str, pattern: str, batch: int, size: Size) -> str:
    """All colours of 2x2 pixels by one convolution of stride 2, then put beside each other."""
    plane = _plane(write, values, batch, size)
    pads = write.integers("mirror_pads", [0, 0, 1, 1, 0, 0, 1, 1])
    mirrored = write.op("Pad", "mirror", [plane, pads], mode="reflect")
    kernels = write.constant("demosaic_kernels", demosaic_kernels(pattern))
    phases = write.op("Conv", "demosaic", [mirrored, kernels], kernel_shape=[4, 4], strides=[2, 2])
    return write.op("DepthToSpace", "rgb", [phases], blocksize=2, mode="CRD")
