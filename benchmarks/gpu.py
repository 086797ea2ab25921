"""Prove that an engine executes on the GPU of this machine, and say which.

Tries TensorRT, TensorRT-RTX and ONNX Runtime CUDA in this order and takes the first that can run here. Its
class maps are compared with those of ONNX Runtime on the CPU in fp32. Writes `results/gpu-<target>.json`.

Exit codes: 0 an engine executed on the GPU and agrees, 1 it did not, 4 no GPU or no engine for it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np

from edgeseg.backends import backend_for
from edgeseg.backends._cuda import Device, cuda
from edgeseg.core.measurement import Measurement
from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe
from edgeseg.core.target import Target
from edgeseg.datasets import open_dataset
from edgeseg.device.bench import BenchSettings, bench
from edgeseg.errors import EdgesegError, MissingDevice
from edgeseg.flow.make import export
from edgeseg.metrics import agreement
from edgeseg.runtime import load

CANDIDATES = ("trt-fp16", "rtx-fp16", "ort-fp32@cuda")
REFERENCE = "ort-fp32"
FRAMES = 16
MIN_AGREEMENT = 0.995
MIN_GROWTH_MB = 32
"""A CUDA context alone takes more: below this, nothing was put on the GPU."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        gpu_memory_growth_mb: memory in use on the GPU while the engine is open, less before; None where
            `nvidia-smi` is not there to tell.
        agreement: share of pixels with the class that ONNX Runtime gives on the CPU in fp32.
    """

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int = 1
    gpu: str
    compute_capability: str
    target: str
    engine_version: str
    frames: int
    agreement: float
    gpu_memory_growth_mb: float | None
    passed_over: dict[str, str]
    measurement: Measurement


def main() -> int:
    try:
        device = cuda().device()
        target, passed_over = choose()
        report = prove(device, target, passed_over)
    except EdgesegError as error:
        print(f"gpu: {error}", file=sys.stderr)
        return error.exit_code
    file = Path(__file__).parent / "results" / f"gpu-{Target.parse(target).folder}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    return judge(report)


def choose() -> tuple[str, dict[str, str]]:
    """The first target that builds and runs here, and why those before it do not."""
    passed_over: dict[str, str] = {}
    for target in CANDIDATES:
        parsed = Target.parse(target)
        can = backend_for(parsed).availability(parsed)
        if can.build and can.run:
            return target, passed_over
        passed_over[target] = can.reason
        print(f"{target}: {can.reason}; to fix: {can.fix}", file=sys.stderr)
    raise MissingDevice("no engine can use the GPU of this machine", hint="see the lines above")


def prove(device: Device, target: str, passed_over: dict[str, str]) -> Report:
    frames = np.stack([open_dataset("synthetic-streets").split("val").image(i) for i in range(FRAMES)])
    height, width = frames.shape[1:3]
    recipe = Recipe(
        schema_version=Recipe.SCHEMA_VERSION,
        name="gpu",
        model=ModelChoice(name="demo"),
        data=DataChoice(name="synthetic-streets"),
        camera_size=(height, width),
        targets=(REFERENCE, target),
    )
    with tempfile.TemporaryDirectory() as folder:
        reference, engine = export(recipe, Path.cwd(), Path(folder))
        with load(reference.path) as session:
            expected = session(frames)
        before = used_memory_mb()
        with load(engine.path) as session:
            found = session(frames)
            during = used_memory_mb()
        measurement = bench(engine.path, BenchSettings(min_runs=200))
    return Report(
        gpu=device.name,
        compute_capability=device.capability,
        target=target,
        engine_version=engine.engine.engine_version,
        frames=FRAMES,
        agreement=agreement(found, expected),
        gpu_memory_growth_mb=None if before is None or during is None else during - before,
        passed_over=passed_over,
        measurement=measurement,
    )


def used_memory_mb() -> float | None:
    """Memory in use on the first GPU; None where `nvidia-smi` is missing or does not tell, as on a Jetson."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--id=0", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    text = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    return float(text) if text.isdigit() else None


def judge(report: Report) -> int:
    grown = report.gpu_memory_growth_mb
    print(f"{report.target} ({report.engine_version}) on {report.gpu}, {report.compute_capability}")
    print(f"agreement with {REFERENCE} on the CPU: {report.agreement:.4%} of the pixels of {FRAMES} frames")
    print(f"device p50 {report.measurement.device.p50:.3f} ms, host p50 {report.measurement.host.p50:.3f} ms")
    print(f"GPU memory taken by the open engine: {'not told' if grown is None else f'{grown:.0f} MB'}")
    if grown is not None and grown < MIN_GROWTH_MB:
        print("failed: the engine took no memory on the GPU, so it did not execute there")
        return 1
    if report.agreement < MIN_AGREEMENT:
        print(f"failed: expected an agreement of at least {MIN_AGREEMENT:.2%}")
        return 1
    print(f"passed: an engine of {report.target} executed on the GPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
