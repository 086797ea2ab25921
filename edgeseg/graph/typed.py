"""A graph as an engine reads it: in the float precision and the opset that the file has to state."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from onnx import ModelProto

from edgeseg.core.ports import Array, Backend
from edgeseg.graph._edit import shape_of
from edgeseg.graph.deploy import FRAMES
from edgeseg.graph.fp16 import measure_maxima, to_fp16
from edgeseg.graph.source import to_opset

MAXIMA_FRAMES = 8
"""Frames that tell which activations leave the range of fp16."""


def typed(
    model: ModelProto, backend: Backend, rest: str, maxima: Callable[[], Mapping[str, float]]
) -> tuple[ModelProto, tuple[str, ...]]:
    """Write `rest`, the float precision, into a graph, unless the engine chooses it by itself.

    Args:
        maxima: gives what `measure_maxima` gives; called only for fp16.

    Returns:
        The graph, and the nodes that stay fp32 because of their values.
    """
    kept: tuple[str, ...] = ()
    if backend.reads_precision and rest == "fp16":
        model, kept = to_fp16(model, maxima())
    return to_opset(model, backend.opset()), kept


def frame_maxima(deploy: ModelProto, frames: Array) -> dict[str, float]:
    """`measure_maxima` of a deploy graph on the first MAXIMA_FRAMES of uint8 [n,H,W,3]; frames are repeated
    where they do not fill a batch."""
    batch = int(shape_of(deploy.graph.input[0])[0])
    frames = frames[:MAXIMA_FRAMES]
    parts = [frames[start : start + batch] for start in range(0, len(frames), batch)]
    return measure_maxima(deploy, ({FRAMES: np.resize(part, (batch, *frames.shape[1:]))} for part in parts))
