"""One target in a process of its own: `python -m _gpu.prove TARGET --bundles FOLDER --work FOLDER ...`."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
from pathlib import Path

from _gpu.plan import on_gpu
from _gpu.record import Journal, Proof
from edgeseg.core.bundle import MANIFEST, Bundle
from edgeseg.core.recipe import Budget, DataChoice, ModelChoice, Recipe
from edgeseg.core.target import Target
from edgeseg.core.verdict import Verdict
from edgeseg.datasets import open_dataset
from edgeseg.device.bench import BenchSettings, bench
from edgeseg.device.build import ready
from edgeseg.errors import EdgesegError, InputError, MissingDependency
from edgeseg.evaluation.verify import verify
from edgeseg.flow.make import export
from edgeseg.runtime import load

NETWORK = "demo"
DATA = "synthetic-streets"
MAX_DROP = 0.5
"""Points of mIoU, as in `recipes/demo.toml`."""
MIN_GROWTH_MB = 32
"""A CUDA context alone takes more: below this, nothing was put on the GPU."""


def recipe(targets: tuple[str, ...], camera: tuple[int, int]) -> Recipe:
    return Recipe(
        schema_version=Recipe.SCHEMA_VERSION,
        name="gpu",
        model=ModelChoice(name=NETWORK),
        data=DataChoice(name=DATA),
        camera_size=camera,
        targets=targets,
    )


def place(folder: Path, target: str) -> Path:
    """Where the bundle of a target lies in a folder of bundles."""
    return folder / f"{NETWORK}-{Target.parse(target).folder}"


def prove(
    target: str, bundles: Path, work: Path, camera: tuple[int, int], frames: int, settings: BenchSettings
) -> Proof:
    """Build or finish the bundle of a target as `place(work, target)`; open, verify and time it."""
    before, start = _used_memory_mb() if on_gpu(target) else None, time.perf_counter()
    bundle = _made(target, bundles, work, camera)
    with load(bundle.path) as session:  # the self-check
        notes = session.notes
        during = None if before is None else _used_memory_mb()
    seconds = time.perf_counter() - start
    growth = None if before is None or during is None else during - before
    verified = verify(bundle.path, dataset=open_dataset(DATA), limit=frames, budget=Budget(max_drop=MAX_DROP))
    measurement = bench(bundle.path, settings)
    reasons = faults(verified.verdict, growth)
    return Proof(
        target=target,
        status="failed" if reasons else "passed",
        reason="; ".join(reasons),
        built=bundle.engine.target,
        engine_version=bundle.engine.engine_version,
        seconds=seconds,
        gpu_memory_growth_mb=growth,
        score=verified.value,
        drop=verified.drop,
        agreement=verified.agreement.equal if verified.agreement else None,
        measurement=measurement,
        gate=bundle.manifest.gate.sentences() if bundle.manifest.gate else (),
        notes=(*bundle.manifest.notes, *notes),
    )


def faults(verdict: Verdict, growth_mb: float | None) -> tuple[str, ...]:
    """Why a target fails: its accuracy, or an engine that took no memory on the GPU."""
    reasons = () if verdict.status == "pass" else verdict.reasons
    if growth_mb is not None and growth_mb < MIN_GROWTH_MB:
        reasons += (f"the engine took {growth_mb:.0f} MB on the GPU: it did not execute there",)
    return reasons


def _made(target: str, bundles: Path, work: Path, camera: tuple[int, int]) -> Bundle:
    """A bundle made elsewhere, finished here where it was deferred; else one made from the network."""
    given, own = place(bundles, target), place(work, target)
    if (given / MANIFEST).is_file():
        size = Bundle.open(given).engine.camera_size
        if size != camera:
            raise InputError(
                f"{given} takes frames of {size[0]}x{size[1]}", expected=f"{camera[0]}x{camera[1]}"
            )
        shutil.copytree(ready(given, work / "cache"), own)
        return Bundle.open(own)
    try:
        (bundle,) = export(recipe((target,), camera), Path.cwd(), work)
    except MissingDependency as missing:
        missing.hint = f"{missing.hint}; or make the bundles elsewhere: benchmarks/gpu.py --prepare"
        raise
    return bundle


def _used_memory_mb() -> float | None:
    """Memory in use on the first GPU; None where `nvidia-smi` is missing or does not tell, as on a Jetson."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--id=0", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    text = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    return float(text) if text.isdigit() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--bundles", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--camera-size", type=int, nargs=2, required=True)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--runs", type=int, required=True)
    given = parser.parse_args()
    settings = BenchSettings(min_runs=given.runs, min_seconds=0.0)
    height, width = given.camera_size
    try:
        proof = prove(given.target, given.bundles, given.work, (height, width), given.frames, settings)
    except MissingDependency as missing:
        proof = Proof(target=given.target, status="missing", reason=str(missing))
    except EdgesegError as error:
        proof = Proof(target=given.target, status="failed", reason=str(error))
    Journal(given.journal).add(proof)


if __name__ == "__main__":
    main()
