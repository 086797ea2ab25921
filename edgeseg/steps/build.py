"""ONNX bundle -> engine bundle for one target; a complete `deferred` bundle where it cannot be made here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle, BundleDraft, EngineRecord, Golden, Kind, Manifest, StepRecord
from edgeseg.core.ports import Array, Backend, BuildSettings
from edgeseg.core.target import Target
from edgeseg.core.versions import versions
from edgeseg.device.build import make_engine
from edgeseg.steps import Context

if TYPE_CHECKING:
    from onnx import ModelProto

NAMES = ("build",)

GRAPH = "graph.onnx"
DEPLOY = "deploy.onnx"
MAXIMA_FRAMES = 8


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        target: as text, `trt-fp16@orin`.
        confidence: the engine also returns the probability of the class it chose, float32 [N,H,W].
        workspace_mb: scratch memory of the builder; 0: the engine's default.
        cuda_graph: replay the inference as one CUDA graph.
    """

    target: str
    confidence: bool = False
    workspace_mb: int = 0
    cuda_graph: bool = True


class Build:
    accepts: tuple[Kind, ...] = ("onnx",)
    produces: Kind = "engine"
    settings = Settings

    def run(self, parent: Bundle, settings: Settings, draft: BundleDraft, context: Context) -> Manifest:
        import onnx

        from edgeseg.graph.check import golden
        from edgeseg.graph.deploy import compose
        from edgeseg.graph.upsampling import merge_upsampling

        target = Target.parse(settings.target)
        backend = backend_for(target)
        spec = parent.manifest.model
        plain = onnx.load(str(parent.file(parent.manifest.graph)))
        deploy = compose(plain, spec, context.camera_size, confidence=settings.confidence)
        frames = context.frames.take(_batch(deploy))

        context.progress(f"{target}: golden frames")
        checked = _golden(draft, backend, partial(golden, deploy, plain, spec, frames))
        if backend.merges_upsampling:
            merged = merge_upsampling(plain)
            deploy = compose(merged, spec, context.camera_size, confidence=settings.confidence)
        typed, notes = _typed(deploy, backend, target, context)
        onnx.save(plain, str(draft.path / GRAPH))
        onnx.save(typed, str(draft.path / DEPLOY))

        record = EngineRecord(
            target=str(target),
            graph=DEPLOY,
            batch=len(frames),
            camera_size=context.camera_size,
            settings={"workspace_mb": settings.workspace_mb, "cuda_graph": settings.cuda_graph},
        )
        record, built_notes = _engine(backend, target, record, draft, settings, context)
        return Manifest(
            kind="engine" if record.entry else "deferred",
            name=f"{spec.name}-{target.folder}",
            model=spec,
            graph=GRAPH,
            step=StepRecord(name="build"),
            engine=record,
            golden=checked,
            checks=parent.manifest.checks,
            notes=(*parent.manifest.notes, *notes, *built_notes),
            tools=versions("onnx", "onnxruntime"),
        )


def step(name: str) -> Build:
    return Build()


def _golden(draft: BundleDraft, backend: Backend, make: Callable[[], dict[str, Array]]) -> Golden | None:
    """Write the golden frames; an engine that computes nothing has none."""
    if not backend.computes:
        return None
    record = Golden()
    arrays: Any = make()
    np.savez_compressed(draft.path / record.file, **arrays)
    return record


def _batch(deploy: ModelProto) -> int:
    return deploy.graph.input[0].type.tensor_type.shape.dim[0].dim_value


def _typed(
    deploy: ModelProto, backend: Backend, target: Target, context: Context
) -> tuple[ModelProto, tuple[str, ...]]:
    """The deploy graph with the target's precision and opset written into it."""
    from edgeseg.graph.fp16 import measure_maxima, to_fp16
    from edgeseg.graph.source import to_opset

    notes: tuple[str, ...] = ()
    if backend.reads_precision and target.precision == "fp16":
        context.progress(f"{target}: measuring activation ranges")
        frames = context.frames.take(MAXIMA_FRAMES)
        batch = _batch(deploy)
        feeds = [
            {"frames": np.resize(frames[i : i + batch], (batch, *frames.shape[1:]))}
            for i in range(0, len(frames), batch)
        ]
        deploy, kept = to_fp16(deploy, measure_maxima(deploy, feeds))
        if kept:
            notes = (f"kept in fp32, where fp16 would overflow or lose small values: {', '.join(kept)}",)
    return to_opset(deploy, backend.opset()), notes


def _engine(
    backend: Backend,
    target: Target,
    record: EngineRecord,
    draft: BundleDraft,
    settings: Settings,
    context: Context,
) -> tuple[EngineRecord, tuple[str, ...]]:
    """Build the engine if this machine can; else the record stays for `edgeseg build` on the device."""
    can = backend.availability(target)
    if not can.build:
        return record, (f"not built here: {can.reason}; finish it on the device with `edgeseg build`",)
    build = BuildSettings(
        cache=context.cache, workspace_mb=settings.workspace_mb, cuda_graph=settings.cuda_graph
    )
    return make_engine(record, draft.path, build, context.progress)
