"""ONNX bundle -> engine bundle for one target; a complete `deferred` bundle where it cannot be made here."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgeseg.core.bundle import Bundle, EngineRecord, FloatFallback, Golden, Kind, Manifest, StepRecord
from edgeseg.core.drafts import BundleDraft
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Backend, BuildSettings
from edgeseg.core.quantization import Quantization
from edgeseg.core.status import BuildStatus
from edgeseg.core.target import Target
from edgeseg.core.versions import versions
from edgeseg.device.build import checked_options, make_engine
from edgeseg.device.gate import UNTIMED
from edgeseg.errors import BundleError, TargetError
from edgeseg.runtime.check import STORED
from edgeseg.runtime.tasks import task_of
from edgeseg.steps import GRAPH, Context
from edgeseg.steps._golden import as_stored, golden_count, limited, significant_bits
from edgeseg.steps._proof import prove_engine, prove_file

if TYPE_CHECKING:
    from onnx import ModelProto

NAMES = ("build",)

DEPLOY, FLOAT_DEPLOY = "deploy.onnx", "deploy_float.onnx"
FLOAT_GOLDEN = "golden_float.npz"
COARSE = 0.1
"""A self-check that shows only faults that move more than this share of the pixels is worth a warning."""
HINTS = ("bf16", "fp16", "fp32")
"""Floats of an engine that chooses by hint, as int8 engines choose for what stays float."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        target: as text, `trt-fp16@orin`.
        confidence: the engine also returns the probability of the class it chose, float32 [N,H,W].
        options: of the engine's builder: fields of `Backend.options`.
    """

    target: str
    confidence: bool = False
    options: dict[str, Any] = {}


class Build:
    accepts: tuple[Kind, ...] = ("onnx", "qdq")
    produces: Kind = "engine"
    settings = Settings

    def run(self, parent: Bundle, settings: Settings, draft: BundleDraft, context: Context) -> Manifest:
        import onnx

        target = Target.parse(settings.target)
        backend = context.device.backend(target)
        spec = parent.manifest.model
        network = onnx.load(str(parent.file(_network(parent, target))))
        rest = _rest(parent, target) if backend.graph.precision == "stated" else ""
        write = partial(_write, spec=spec, rest=rest, settings=settings, draft=draft, context=context)
        checked, kept = write(network, DEPLOY, Golden(), int8=parent.manifest.quantization)
        shutil.copyfile(parent.file(parent.manifest.graph), draft.path / GRAPH)
        quantization = _keep_quantization(parent, draft, rest, kept)
        fallback = None
        if quantization and not backend.availability(target).run:
            golden, wide = write(onnx.load(str(draft.path / GRAPH)), FLOAT_DEPLOY, Golden(file=FLOAT_GOLDEN))
            fallback = FloatFallback(
                graph=FLOAT_DEPLOY,
                precisions=(rest,) if rest else HINTS,
                golden=golden,
                notes=(*parent.manifest.notes, *_kept_notes(wide)),
            )
        record = EngineRecord(
            target=str(target),
            graph=DEPLOY,
            batch=_batch(network),
            camera_size=context.frame_size or context.camera_size,
            tiles=context.tiles,
            settings=checked_options(target, settings.options),
            float_fallback=fallback,
        )
        record, status, built_notes = _engine(backend, target, record, draft, settings, context)
        manifest = Manifest(
            kind="engine" if record.entry else "deferred",
            name=f"{spec.name}-{target.folder}",
            model=spec,
            graph=GRAPH,
            quantization=quantization,
            step=StepRecord(name="build"),
            engine=record,
            build=status,
            gate=UNTIMED if fallback else None,
            golden=checked,
            checks=parent.manifest.checks,
            notes=(
                *parent.manifest.notes,
                *_kept_notes(kept),
                *built_notes,
            ),
            tools=versions("onnx", "onnxruntime"),
        )
        return _proven(manifest, rest, draft, context)


def step(name: str) -> Build:
    return Build()


def _write(
    network: ModelProto,
    file: str,
    golden: Golden,
    *,
    spec: ModelSpec,
    rest: str,
    settings: Settings,
    draft: BundleDraft,
    context: Context,
    int8: Quantization | None = None,
) -> tuple[Golden | None, tuple[str, ...]]:
    """Write the typed deploy graph of a network as `file`, and its golden frames.

    Returns:
        `golden`, but None for an engine that computes nothing; and the nodes that stayed fp32.
    """
    import onnx

    from edgeseg.datasets.framed import imitated
    from edgeseg.datasets.patterns import colour_bars
    from edgeseg.datasets.pictures import to_camera
    from edgeseg.graph.dequantize import dequantized
    from edgeseg.graph.engine_graph import Deployment, engine_graph
    from edgeseg.graph.faults import smallest_shown
    from edgeseg.graph.golden import FULL_BITS, INT8_BITS, PLAIN, outputs_of
    from edgeseg.graph.golden import golden as golden_arrays
    from edgeseg.graph.typed import MAXIMA_FRAMES, frame_maxima

    target = Target.parse(settings.target)
    backend = context.device.backend(target)
    full_bits = INT8_BITS if int8 else FULL_BITS
    grid = int8.scores if int8 and not context.tiles else None
    deployment = Deployment(
        spec, context.camera_size, settings.confidence, grid, tiled=context.tiles is not None
    )

    def maxima(shipped: ModelProto) -> dict[str, float]:
        context.progress(f"{target}: measuring activation ranges")
        return frame_maxima(shipped, context.frames.take(MAXIMA_FRAMES), spec.preprocess.frame)

    made = engine_graph(
        network, backend, rest, deployment, maxima=maxima, judged_on=partial(context.frames.take, 1)
    )
    onnx.save(made.model, str(draft.path / file))
    if not backend.computes:
        return None, made.kept
    deploy = deployment.around(network)
    context.progress(f"{target}: golden frames")
    images = context.frames.take(golden_count(_batch(network), context.camera_size))
    bars = imitated(colour_bars(context.camera_size), spec.preprocess.frame)
    frames = np.concatenate([images, to_camera([bars], spec.preprocess.frame)])
    arrays: Any = golden_arrays(
        deploy, network, spec, frames, significant_bits(target, rest), full_bits=full_bits, grid=grid
    )
    stored = as_stored(made.shipped, made.model, target, rest) or deploy
    if int8:
        stored, plain = dequantized(stored), dequantized(network)
        exact = golden_arrays(stored, plain, spec, frames, FULL_BITS, grid=grid)
        arrays["confident"], kept = exact["confident"], exact
    else:
        kept = arrays if stored is deploy else outputs_of(stored, spec, frames)
    outputs = [info.name for info in task_of(spec).outputs(spec, len(frames), context.camera_size)]
    right = {name: arrays.pop(PLAIN + name) for name in outputs}
    arrays |= {STORED + name: kept[name] for name in outputs}
    moved = float(arrays.pop("moved")[:-1].mean())
    np.savez_compressed(draft.path / golden.file, **arrays)
    stable, golden = arrays["stable"], limited(golden, task_of(spec).slips)
    shows = smallest_shown(network, spec, frames, right, stable, golden.min_agreement)
    share = task_of(spec).share(stable, spec)
    return msgspec.structs.replace(golden, compared=share, moved=moved, shows=shows), made.kept


def _proven(manifest: Manifest, rest: str, draft: BundleDraft, context: Context) -> Manifest:
    """The manifest with what the first opening of the engine showed, or its file where it does not run here.

    Raises what `prove_engine` raises.
    """
    draft.finish(manifest)
    assert draft.manifest is not None
    bundle = Bundle(draft.path, draft.manifest)
    target = Target.parse(bundle.engine.target)
    context.progress(f"{target}: self-check")
    if not bundle.engine.entry or not context.device.backend(target).availability(target).run:
        return msgspec.structs.replace(manifest, checks=(*manifest.checks, *prove_file(bundle)))
    return msgspec.structs.replace(
        manifest,
        build=BuildStatus(state="built", opened=True),
        checks=(*manifest.checks, *prove_engine(bundle, rest, context.cache, context.device.backend)),
        notes=(*manifest.notes, *_coverage_notes(manifest)),
    )


def _coverage_notes(manifest: Manifest) -> tuple[str, ...]:
    """A warning where the check on open sees little."""
    golden, decisions = manifest.golden, task_of(manifest.model).decisions
    if golden is None or (golden.shows is not None and golden.shows <= COARSE):
        return ()
    seen = (
        "no fault that was tried"
        if golden.shows is None
        else f"faults that move over {golden.shows:.0%} of the pixels"
    )
    return (
        f"the self-check on open compares the {golden.compared:.0%} of the {decisions} that rounding "
        f"cannot move, and would show {seen}; --data with frames of your camera makes it sharper",
    )


def _batch(network: ModelProto) -> int:
    return network.graph.input[0].type.tensor_type.shape.dim[0].dim_value


def _network(parent: Bundle, target: Target) -> str:
    """The file of the graph that the engine is made of.

    Raises:
        TargetError: an int8 target and a float bundle, or the reverse.
        BundleError: a bundle with the int8 of another kind of engine.
    """
    quantization = parent.manifest.quantization
    if (quantization is not None) != (target.precision == "int8"):
        raise TargetError(
            f"target '{target}' cannot be built from a bundle of kind '{parent.manifest.kind}'",
            expected="a 'qdq' bundle for an int8 target, an 'onnx' bundle for any other",
            hint="quantise the network first: `edgeseg quantize`",
        )
    if quantization is None:
        return parent.manifest.graph
    from edgeseg.quantization.schemes import scheme_for

    wanted = scheme_for(target.engine).name
    if quantization.scheme != wanted:
        raise BundleError(
            f"{parent.path} holds the int8 scheme '{quantization.scheme}'",
            expected=f"the scheme '{wanted}' for {target}",
            hint="quantise the network for this target",
        )
    return quantization.graph


def _rest(parent: Bundle, target: Target) -> str:
    """The float precision of what is not int8."""
    from edgeseg.quantization.schemes import scheme_named

    quantization = parent.manifest.quantization
    return scheme_named(quantization.scheme).rest if quantization else target.precision


def _keep_quantization(
    parent: Bundle, draft: BundleDraft, rest: str, kept: tuple[str, ...]
) -> Quantization | None:
    """The Q/DQ graph and its tables go along; the plan gets the precisions that the graph states.

    Args:
        rest: float precision written into the graph; empty: the engine chooses it.
        kept: nodes that are fp32 all the same.
    """
    quantization = parent.manifest.quantization
    if quantization is None:
        return None
    for name in filter(None, (quantization.graph, quantization.tables)):
        shutil.copyfile(parent.file(name), draft.path / name)
    floats: dict[str, Any] = {name: "fp32" if name in kept else rest or "float" for name in quantization.plan}
    plan = {name: floats[name] if p == "float" else p for name, p in quantization.plan.items()}
    return msgspec.structs.replace(quantization, plan=plan)


def _kept_notes(kept: tuple[str, ...]) -> tuple[str, ...]:
    if not kept:
        return ()
    return (f"kept in fp32, where fp16 would overflow or lose small values: {', '.join(kept)}",)


def _engine(
    backend: Backend,
    target: Target,
    record: EngineRecord,
    draft: BundleDraft,
    settings: Settings,
    context: Context,
) -> tuple[EngineRecord, BuildStatus, tuple[str, ...]]:
    """Build the engine if this machine can; else the record stays for `edgeseg build` on the device."""
    can = backend.availability(target)
    if not can.build:
        return record, BuildStatus(state="deferred", reason=can.reason), ()
    build = BuildSettings(cache=context.cache, options=settings.options)
    record, notes = make_engine(record, draft.path, build, context.progress, context.device.backend)
    return record, BuildStatus(state="built"), notes
