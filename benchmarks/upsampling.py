"""What merging nearest upsampling into convolutions is worth: time after over time before, per engine.

    python benchmarks/upsampling.py [--size 512] [--output benchmarks/results/upsampling.json]

Plain networks of the zoo with random weights, both graphs alternating in blocks in one process. Below 1 the
rewritten graph is faster. `Backend.graph.rewrites` follows this table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeseg.core.measurement import PairedRatio
from edgeseg.core.recipe import ModelChoice
from edgeseg.device.bench import BenchSettings, compare
from edgeseg.device.environment import read_environment
from edgeseg.device.timing import Call
from edgeseg.graph.export import export_torch
from edgeseg.graph.fold import fold
from edgeseg.graph.info import graph_info
from edgeseg.graph.reference import session
from edgeseg.graph.upsampling import merge_upsampling
from edgeseg.models.load import resolve

NETWORKS = ("mobile-unet", "eff-unet")
HINTS = ("bf16", "f32")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"cpu": read_environment().cpu, "size": arguments.size}
    result |= {name: measure(name, arguments.size, arguments.runs) for name in NETWORKS}
    text = json.dumps(msgspec.to_builtins(result), indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")


def measure(name: str, size: int, runs: int) -> dict[str, Any]:
    loaded = resolve(ModelChoice(name=name, classes=11, input_size=(size, size)))
    before = fold(export_torch(loaded.module, (3, size, size)))
    after = merge_upsampling(before)
    image = np.random.default_rng(0).standard_normal((1, 3, size, size)).astype(np.float32)
    settings = BenchSettings(min_runs=runs, min_seconds=0.0, blocks=12, warmup=3)
    ratios: dict[str, PairedRatio] = {}
    for hint in HINTS:
        opened = [partial(openvino, graph, hint, image) for graph in (after, before)]
        ratios[f"openvino {hint}"] = compare(*opened, settings, names=("merged", "as exported"))[2]
    opened = [partial(onnxruntime, graph, image) for graph in (after, before)]
    ratios["onnxruntime fp32"] = compare(*opened, settings, names=("merged", "as exported"))[2]
    macs = {"before": graph_info(before).macs, "after": graph_info(after).macs}
    return {"macs": macs, "ratios": ratios}


@contextmanager
def openvino(model: Any, hint: str, image: np.ndarray) -> Iterator[Call]:
    import openvino as ov

    compiled = ov.Core().compile_model(
        ov.Core().read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": hint}
    )
    request = compiled.create_infer_request()
    yield lambda: request.infer({0: image}, share_inputs=True)


@contextmanager
def onnxruntime(model: Any, image: np.ndarray) -> Iterator[Call]:
    opened = session(model, optimised=True)
    yield lambda: opened.run(None, {opened.get_inputs()[0].name: image})


if __name__ == "__main__":
    main()
