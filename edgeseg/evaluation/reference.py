"""The FP32 side of a comparison: the bundle's own plain graph, deployed the same way, in ONNX Runtime."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeseg.backends.onnxruntime import package
from edgeseg.core.bundle import Bundle
from edgeseg.core.cache import engine_cache
from edgeseg.core.ports import Array, OpenSettings
from edgeseg.datasets.resizing import Predict, Resizing, told_by
from edgeseg.devices import Device
from edgeseg.errors import BundleError, InputError, MissingDependency
from edgeseg.runtime.frames import frame_size
from edgeseg.runtime.session import Session
from edgeseg.runtime.tasks import CONFIDENCE, Outputs, task_of
from edgeseg.runtime.tiled import Tiled

NAME = "its own FP32 graph in ONNX Runtime"
NEEDED_FOR = "the FP32 reference"


def session_on(device: Device, bundle: Bundle, threads: int | None) -> Session:
    """A bundle that runs on a device. Raises as `edgeseg.runtime.load`."""
    settings = OpenSettings(cache=engine_cache())
    return Session(bundle, settings, threads=threads, backends=device.backend)


def open_reference(
    bundle: Bundle,
    other: Path | None,
    threads: int | None,
    stack: ExitStack,
    device: Device,
    *,
    confidence: bool = False,
) -> Resizing:
    """What to compare a bundle with: the engine bundle `other` (closed by `stack`), else its own FP32 graph.

    Args:
        confidence: of the FP32 graph too; `other` returns one if it was exported so.

    Raises:
        InputError: `other` has another task, number of classes, camera or region.
    """
    if other is None:
        predict = fp32_reference(bundle, threads, confidence=confidence)
        return Resizing(predict, bundle.manifest.model, bundle.engine.fixed_size)
    session = stack.enter_context(session_on(device, Bundle.open(other), threads))
    ours, theirs = bundle.manifest.model, session.spec
    if (ours.task, len(ours.classes)) != (theirs.task, len(theirs.classes)):
        raise InputError(
            f"the reference {other} is a {theirs.task} network of {len(theirs.classes)} classes, "
            f"{bundle.path} a {ours.task} network of {len(ours.classes)}",
            expected="a reference with the same task and classes",
        )
    if ours.preprocess.frame.shown != theirs.preprocess.frame.shown:
        raise InputError(
            f"the reference {other} takes frames of {theirs.preprocess.frame}, {bundle.path} of "
            f"{ours.preprocess.frame}",
            expected="a reference for the same camera",
        )
    if _region(bundle) != _region(session.bundle):
        raise InputError(
            f"the reference {other} sees {_region(session.bundle)}, {bundle.path} {_region(bundle)}",
            expected="a reference for the same part of the frame",
        )
    return Resizing(told_by(session), theirs, session.bundle.engine.fixed_size)


def _region(bundle: Bundle) -> str:
    region, (height, width) = bundle.manifest.model.preprocess.region, bundle.engine.camera_size
    if region is None:
        return "whole frames"
    return f"the region {','.join(map(str, region))} of frames of {height}x{width}"


def fp32_reference(bundle: Bundle, threads: int | None = None, *, confidence: bool = False) -> Predict:
    """The deploy graph around the plain float32 graph of a bundle, as it is, run by ONNX Runtime on the CPU.

    Nothing is fused: what an optimiser does wrongly to a graph, the engine that is judged may do as well.

    Returns:
        From frames [N,...] at the bundle's camera size, for any N, to what its task finds in them, and where
        it is asked for the confidence, float32 [N,H,W].

    Raises:
        BundleError: the bundle keeps no plain graph.
        MissingDependency: no `onnx` or `onnxruntime`.
    """
    try:
        import onnx
    except ImportError:
        raise MissingDependency("onnx", "train", needed_for=NEEDED_FOR) from None
    ort = package(needed_for=NEEDED_FOR)
    from edgeseg.graph.deploy import compose

    if not bundle.manifest.graph:
        raise BundleError(
            f"{bundle.path} keeps no plain graph to take as FP32 reference",
            hint="name a bundle of the same network with --reference",
        )
    plain = onnx.load(str(bundle.file(bundle.manifest.graph)))
    spec, record = bundle.manifest.model, bundle.engine
    deploy = compose(
        plain, spec, record.window, confidence=confidence and not record.tiles, tiled=record.tiles is not None
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        deploy.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
    )
    batch = session.get_inputs()[0].shape[0]
    task = task_of(spec)
    if record.tiles:
        tiles = msgspec.structs.replace(record.tiles, confidence=confidence)
        tiled = Tiled(lambda frames: _run(session, frames, batch), batch, tiles, spec)

    def outputs(frames: Array) -> Outputs:
        if record.tiles:
            return tiled(frames)
        starts = range(0, len(frames), batch)
        parts = [_run(session, frames[i : i + batch], batch) for i in starts]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def predict(frames: Array) -> tuple[Any, Any]:
        whole = outputs(frames)
        return task.found(whole, spec, frame_size(frames, spec.preprocess.frame)), whole.get(CONFIDENCE)

    return predict


def _run(session: Any, frames: Array, batch: int) -> Outputs:
    """One call of a static batch; missing frames are filled up with the last one."""
    padded = np.concatenate([frames, np.repeat(frames[-1:], batch - len(frames), axis=0)])
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {"frames": padded})
    return {name: array[: len(frames)] for name, array in zip(names, found)}
