"""A graph as an engine reads it: in the float precision and the opset that the file has to state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from onnx import ModelProto

from edgeseg.core.frame import Frame
from edgeseg.core.ports import Array, Backend
from edgeseg.graph.deploy import FRAMES
from edgeseg.graph.editor import shape_of
from edgeseg.graph.fp16 import measure_maxima, to_fp16
from edgeseg.graph.half import check_half
from edgeseg.graph.opsets import to_opset
from edgeseg.runtime.frame_layouts import packed_as

MAXIMA_FRAMES = 8
"""Frames that tell which activations leave the range of fp16."""


def typed(
    model: ModelProto,
    backend: Backend,
    rest: str,
    frame: Frame,
    maxima: Callable[[], Mapping[str, float]],
    judged_on: Callable[[], Array] | None = None,
) -> tuple[ModelProto, tuple[str, ...]]:
    """Write `rest`, the float precision, into a graph, unless the engine chooses it by itself.

    Args:
        frame: what the graph reads.
        maxima: gives what `measure_maxima` gives; called only for fp16.
        judged_on: gives frames [n,...] that the fp16 graph must stay finite on, as a device computes it;
            called only for fp16.

    Returns:
        The graph, and the nodes that stay fp32 because of their values.

    Raises:
        GraphError: fp16 gives NaN or infinity where float32 does not.
    """
    if backend.graph.precision == "hint" or rest != "fp16":
        return to_opset(model, backend.graph.opset), ()
    measured = maxima()
    half, kept = to_fp16(model, measured)
    if judged_on is not None:
        check_half(half, measured, frame_feeds(model, judged_on(), frame))
    return to_opset(half, backend.graph.opset), kept


def frame_maxima(deploy: ModelProto, frames: Array, frame: Frame) -> dict[str, float]:
    """`measure_maxima` of a deploy graph on the first MAXIMA_FRAMES of [n,...], black and white."""
    return measure_maxima(deploy, frame_feeds(deploy, frames[:MAXIMA_FRAMES], frame))


def frame_feeds(deploy: ModelProto, frames: Array, frame: Frame) -> Iterator[dict[str, Array]]:
    """Frames [n,...], a black one and a white one as feeds of a deploy graph; frames are repeated where they
    do not fill a batch."""
    batch = int(shape_of(deploy.graph.input[0])[0])
    size = frame.picture_size(frames.shape)
    pictures = [np.full((*size, frame.channels), value, frames.dtype) for value in (0, frame.full)]
    extremes = np.stack(pictures)
    frames = np.concatenate([frames, extremes if frame.layout == "packed" else packed_as(extremes, frame)])
    for start in range(0, len(frames), batch):
        yield {FRAMES: np.resize(frames[start : start + batch], (batch, *frames.shape[1:]))}
