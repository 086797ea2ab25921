"""A graph as an engine reads it: in the float precision and the opset that the file has to state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from onnx import ModelProto

from edgeseg.core.ports import Array, Backend
from edgeseg.graph.deploy import FRAMES
from edgeseg.graph.editor import shape_of
from edgeseg.graph.fp16 import measure_maxima, to_fp16
from edgeseg.graph.half import check_half
from edgeseg.graph.opsets import to_opset

MAXIMA_FRAMES = 8
"""Frames that tell which activations leave the range of fp16."""


def typed(
    model: ModelProto,
    backend: Backend,
    rest: str,
    maxima: Callable[[], Mapping[str, float]],
    judged_on: Callable[[], Array] | None = None,
    white: float = 255.0,
) -> tuple[ModelProto, tuple[str, ...]]:
    """Write `rest`, the float precision, into a graph, unless the engine chooses it by itself.

    Args:
        maxima: gives what `measure_maxima` gives; called only for fp16.
        judged_on: gives frames [n,...] that the fp16 graph must stay finite on, as a device computes it;
            called only for fp16.
        white: value of a frame in full light.

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
        check_half(half, measured, frame_feeds(model, judged_on(), white))
    return to_opset(half, backend.graph.opset), kept


def frame_maxima(deploy: ModelProto, frames: Array, white: float = 255.0) -> dict[str, float]:
    """`measure_maxima` of a deploy graph on the first MAXIMA_FRAMES of [n,...], black and white."""
    return measure_maxima(deploy, frame_feeds(deploy, frames[:MAXIMA_FRAMES], white))


def frame_feeds(deploy: ModelProto, frames: Array, white: float = 255.0) -> Iterator[dict[str, Array]]:
    """Frames [n,...], a black one and a white one as feeds of a deploy graph; frames are repeated where they
    do not fill a batch."""
    batch = int(shape_of(deploy.graph.input[0])[0])
    extremes = np.stack([np.full_like(frames[0], value) for value in (0, white)])
    frames = np.concatenate([frames, extremes])
    for start in range(0, len(frames), batch):
        yield {FRAMES: np.resize(frames[start : start + batch], (batch, *frames.shape[1:]))}
