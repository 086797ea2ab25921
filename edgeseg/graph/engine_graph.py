"""The graph that an engine is built from: what is timed, planned, scored and shipped is the same. Nobody else
assembles it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from onnx import ModelProto

from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array, Backend
from edgeseg.core.preprocess import Size
from edgeseg.core.quantization import ScoreGrid
from edgeseg.graph.deploy import compose
from edgeseg.graph.exact_forms import exact_forms
from edgeseg.graph.roi_align import sample_roi_align
from edgeseg.graph.typed import typed
from edgeseg.graph.upsampling import merge_upsampling
from edgeseg.graph.wide_frames import joined_bytes

REWRITES: dict[str, Callable[[ModelProto], ModelProto]] = {
    "merge-upsampling": merge_upsampling,
    "sample-roi-align": sample_roi_align,
    "exact-forms": exact_forms,
}
"""Of a plain network, by the names that backends want them by."""


class Deployment(NamedTuple):
    """From camera frames to class maps around a plain network. Fields as `compose` takes them."""

    spec: ModelSpec
    camera_size: Size
    confidence: bool = False
    score_grid: ScoreGrid | None = None
    tiled: bool = False

    def around(self, network: ModelProto) -> ModelProto:
        return compose(
            network,
            self.spec,
            self.camera_size,
            confidence=self.confidence,
            score_grid=self.score_grid,
            tiled=self.tiled,
        )


class EngineGraph(NamedTuple):
    """
    Attributes:
        model: as the engine reads it, with its float precision and opset.
        shipped: the same in float32.
        kept: nodes that stay fp32 because of their values.
    """

    model: ModelProto
    shipped: ModelProto
    kept: tuple[str, ...]


def rewritten(network: ModelProto, backend: Backend) -> ModelProto:
    """A plain network in the forms that the engine wants."""
    for name in backend.graph.rewrites:
        network = REWRITES[name](network)
    return network


def engine_graph(
    network: ModelProto,
    backend: Backend,
    rest: str,
    deployment: Deployment | None,
    *,
    maxima: Callable[[ModelProto], Mapping[str, float]] = lambda _: {},
    judged_on: Callable[[], Array] | None = None,
) -> EngineGraph:
    """Rewrites that the engine wants, the deploy graph around them, then precision and opset.

    Args:
        network: plain, with Q/DQ pairs or without.
        rest: float precision written into the graph, where the engine reads it from there.
        deployment: None: the plain network alone, from image to scores.
        maxima: gives what `measure_maxima` gives for the float32 graph; called only for fp16.
        judged_on: as `typed` takes it.

    Raises:
        GraphError: as `typed`.
    """
    network = rewritten(network, backend)
    shipped = deployment.around(network) if deployment else network
    frame = deployment.spec.preprocess.frame if deployment else Frame()
    model, kept = typed(shipped, backend, rest, frame, lambda: maxima(shipped), judged_on)
    if frame.dtype == "uint16" and not backend.graph.wide_frames:
        model = joined_bytes(model)
    return EngineGraph(model, shipped, kept)
