"""Camera frame to class map: an engine bundle against the same network in PyTorch eager fp32 with NumPy.

    python benchmarks/end_to_end.py [--size 512] [--classes 11] [--output benchmarks/results/end_to_end.json]

Mobile-UNet with random weights (latency does not depend on them). Each engine alternates with the eager
network in blocks, in one process; the ratio is time of eager over time of the engine, with its 95% interval.
A second process repeats the float engines without AMX and without bf16 instructions
(ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI), the nearest here to an edge CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import msgspec

from edgeseg.core.bundle import Bundle
from edgeseg.core.measurement import PairedRatio
from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe
from edgeseg.device.bench import BenchSettings, compare
from edgeseg.device.environment import read_environment
from edgeseg.device.timing import Call
from edgeseg.evaluation.baseline import NAME, torch_baseline
from edgeseg.flow.make import Maker
from edgeseg.flow.plan import make_plan
from edgeseg.runtime import load

EDGE_CPU = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}
TARGETS = ("openvino-bf16", "openvino-fp32", "ort-fp32")
EDGE_TARGETS = ("openvino-fp32",)


def main() -> None:
    arguments = parse()
    ratios = measure(arguments, arguments.target or TARGETS)
    result = {
        "cpu": read_environment().cpu,
        "network": f"mobile-unet {arguments.size}x{arguments.size}",
        "native": ratios,
    }
    if not arguments.target:
        result["without AMX and bf16"] = without_amx(arguments)
    text = json.dumps(msgspec.to_builtins(result), indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--classes", type=int, default=11)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--target", action="append", help="only these targets, in this process")
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


def measure(arguments: argparse.Namespace, targets: tuple[str, ...]) -> list[PairedRatio]:
    recipe = Recipe(
        schema_version=1,
        name="end-to-end",
        model=ModelChoice(name="mobile-unet", classes=arguments.classes, input_size=(arguments.size,) * 2),
        data=DataChoice(name=""),
        targets=tuple(targets),
    )
    with tempfile.TemporaryDirectory() as folder:
        plan, data = make_plan(recipe, Path.cwd())
        maker = Maker(plan, data, Path(folder) / "steps")
        source = maker.source()
        eager = torch_baseline(source, source.manifest.model.input_size)
        frames = maker.context(source).frames.take(1)
        return [
            ratio(eager, frames, bundle, arguments.runs) for bundle in maker.engines(Path(folder) / "bundles")
        ]


def ratio(eager, frames, bundle: Bundle, runs: int) -> PairedRatio:
    """Time of eager, whose network is the same in every opening, over time of the engine."""
    settings = BenchSettings(min_runs=runs, min_seconds=0.0, blocks=12, warmup=3)

    @contextmanager
    def engine() -> Iterator[Call]:
        with load(bundle.path, check=False) as session:
            yield lambda: session(frames)

    names = (NAME, bundle.engine.target)
    return compare(lambda: nullcontext(lambda: eager(frames)), engine, settings, names=names)[2]


def without_amx(arguments: argparse.Namespace) -> list[dict]:
    command = [sys.executable, __file__, "--size", str(arguments.size), "--classes", str(arguments.classes)]
    command += ["--runs", str(arguments.runs)]
    for target in EDGE_TARGETS:
        command += ["--target", target]
    done = subprocess.run(
        command, env={**os.environ, **EDGE_CPU}, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)["native"]


if __name__ == "__main__":
    main()
