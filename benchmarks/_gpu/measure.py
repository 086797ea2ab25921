"""From targets to a report, within a time."""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from pathlib import Path

from _gpu.plan import GPU_TARGETS
from _gpu.record import Proof, Report
from _gpu.stages import Stages
from edgeseg.backends import backend_for
from edgeseg.backends._cuda import cuda
from edgeseg.core.target import Target
from edgeseg.core.versions import versions
from edgeseg.device.environment import read_environment
from edgeseg.errors import MissingDevice

PACKAGES = ("tensorrt", "tensorrt_rtx", "onnxruntime", "onnxruntime-gpu", "openvino", "torch", "numpy")
PROOFS_SHARE = 0.6
"""Of the time: the rest is for the race."""
LAST_SECONDS = 5.0
"""Kept to stop a process and to write what was found."""


def prepare(given: argparse.Namespace) -> int:
    """Make the bundles of all targets, deferred where this machine cannot build the engine."""
    from _gpu.prove import recipe
    from edgeseg.flow.make import export

    chosen = recipe(tuple(given.target or GPU_TARGETS), tuple(given.camera_size))
    for bundle in export(chosen, Path.cwd(), given.bundles, overwrite=True):
        print(bundle.path, bundle.manifest.kind)
    return 0


def measure(given: argparse.Namespace) -> Report:
    """
    Raises:
        MissingDevice: no GPU, or no engine that can use it; with `--target`: none of them can run here.
    """
    start = time.time()
    gpu = _gpu(needed=not given.target)
    able, unable = _able(tuple(given.target or GPU_TARGETS))
    allowed = 60.0 * given.minutes
    with tempfile.TemporaryDirectory() as folder:
        stages = Stages(given, Path(folder))
        proofs = stages.proofs(able, start + PROOFS_SHARE * allowed)
        timed = tuple(proof.target for proof in proofs if proof.measurement)
        found = stages.race(timed, start + allowed - LAST_SECONDS) if timed else ([], [])
    return Report(
        gpu=gpu,
        cpu=read_environment().cpu,
        versions={"python": platform.python_version(), **versions(*PACKAGES)},
        camera_size=tuple(given.camera_size),
        frames=given.frames,
        seconds=time.time() - start,
        allowed_seconds=allowed,
        proofs=(*proofs, *unable),
        rivals=tuple(found[0]),
        pairs=tuple(found[1]),
    )


def exit_code(report: Report) -> int:
    """A target that cannot run here is no failure while another does, nor is one of PyTorch."""
    if all(proof.status == "missing" for proof in report.proofs):
        return MissingDevice.exit_code
    ours = {found.status for found in (*report.proofs, *report.pairs)}
    late = "no time" in ours or any(rival.status == "no time" for rival in report.rivals)
    return 1 if "failed" in ours else 3 if late else 0


def _gpu(*, needed: bool) -> str:
    try:
        device = cuda().device()
    except MissingDevice:
        if needed:
            raise
        return ""
    return f"{device.name} ({device.capability})"


def _able(targets: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Proof, ...]]:
    """The targets that build and run here, and why the others do not."""
    able, unable = [], []
    for target in map(Target.parse, targets):
        can = backend_for(target).availability(target)
        if can.build and can.run:
            able.append(str(target))
        else:
            reason = f"{can.reason}\nto fix: {can.fix}"
            unable.append(Proof(target=str(target), status="missing", reason=reason))
    if not able:
        reasons = "\n".join(f"{proof.target}: {proof.reason}" for proof in unable)
        raise MissingDevice(f"none of the targets can run here\n{reasons}")
    return tuple(able), tuple(unable)
