"""Network -> one simplified, static ONNX graph, checked against where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import msgspec

from edgeseg.core.bundle import Bundle, Check, Kind, Manifest, StepRecord
from edgeseg.core.drafts import BundleDraft
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.versions import versions
from edgeseg.steps import GRAPH, Context

if TYPE_CHECKING:
    from onnx import ModelProto

NAMES = ("export",)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        batch: frames per call; fixed in the graph.
    """

    batch: Annotated[int, msgspec.Meta(ge=1)] = 1


class Export:
    accepts: tuple[Kind, ...] = ("torch", "onnx")
    produces: Kind = "onnx"
    settings = Settings

    def run(self, parent: Bundle, settings: Settings, draft: BundleDraft, context: Context) -> Manifest:
        import onnx

        context.progress("exporting to ONNX")
        make = _from_torch if parent.manifest.kind == "torch" else _from_onnx
        graph, checks = make(parent, settings.batch, context)
        onnx.save(graph, str(draft.path / GRAPH))
        return Manifest(
            kind="onnx",
            name=f"{parent.manifest.model.name}-onnx",
            model=parent.manifest.model,
            graph=GRAPH,
            step=StepRecord(name="export"),
            checks=checks,
            notes=parent.manifest.notes,
            tools=versions("torch", "onnx", "onnxsim", "onnxscript", "onnxruntime"),
        )


def step(name: str) -> Export:
    return Export()


def _from_torch(parent: Bundle, batch: int, context: Context) -> tuple[ModelProto, tuple[Check, ...]]:
    from edgeseg.graph.check import check_against_torch
    from edgeseg.graph.export import export_torch
    from edgeseg.graph.fold import fold
    from edgeseg.models.load import open_network

    spec = parent.manifest.model
    module = open_network(parent, trusted=context.trusted)
    graph = fold(export_torch(module, spec.input_shape, batch=batch))
    context.progress("checking the graph against PyTorch")
    inputs = _inputs(spec, batch, context)
    return graph, check_against_torch(graph, module, spec.input_shape, batch, inputs)


def _from_onnx(parent: Bundle, batch: int, context: Context) -> tuple[ModelProto, tuple[Check, ...]]:
    from edgeseg.graph.check import check_against_onnx
    from edgeseg.graph.fold import fold
    from edgeseg.graph.onnx_file import read_onnx
    from edgeseg.graph.own_instances import with_standard_outputs
    from edgeseg.graph.simplify import simplify
    from edgeseg.graph.source import make_static

    spec = parent.manifest.model
    original = make_static(
        read_onnx(parent.file(parent.manifest.graph)), input_size=spec.input_size, batch=batch
    )
    if spec.postprocess.instances:
        original = with_standard_outputs(original, spec.postprocess.instances, spec.postprocess.first_label)
    graph = fold(simplify(original))
    context.progress("checking the graph against the file")
    return graph, check_against_onnx(graph, original, _inputs(spec, batch, context))


def _inputs(spec: ModelSpec, batch: int, context: Context) -> Mapping[str, Array]:
    from edgeseg.graph.check import check_images

    frames = context.frames
    return check_images(frames.take(batch), frames.kind, spec.preprocess, spec.input_size)
