"""How the class is decided fastest at the end of a deploy graph, per engine, precision and number of classes.

    python benchmarks/argmax_forms.py [--size 512] [--output benchmarks/results/argmax_forms.json]

A 1x1 convolution (so that scores arrive in the layout the engine likes), the decision, a cast to uint8; forms
of the decision alternate with the one of `graph/deploy.py`, ArgMax over planar [N,C,H*W], in one process.
Above 1 the form is slower than it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
import onnx
import openvino as ov
from onnx import ModelProto, parser

from edgeseg.device.bench import BenchSettings, Call, compare
from edgeseg.device.environment import read_environment
from edgeseg.graph.reference import session

CLASSES = (2, 11, 19, 150)
CHANNELS = 16
FLAT = "flat = Reshape(scores, planar)"
BACK = "back = Reshape(labels, image)"
CHOSEN = f"{FLAT} labels = ArgMax<axis = 1, keepdims = 0>(flat) {BACK}"
FORMS = {
    "ArgMax": "back = ArgMax<axis = 1, keepdims = 0>(scores)",
    "TopK": "values, top = TopK<axis = 1>(scores, one) back = Squeeze(top, one)",
    "flat TopK": f"{FLAT} values, top = TopK<axis = 1>(flat, one) labels = Squeeze(top, one) {BACK}",
}


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--size", type=int, default=512)
    arguments.add_argument("--runs", type=int, default=60)
    arguments.add_argument("--output", type=Path)
    given = arguments.parse_args()
    settings = BenchSettings(min_runs=given.runs, min_seconds=0.0, blocks=12, warmup=3)
    result: dict[str, Any] = {"cpu": read_environment().cpu, "size": given.size, "classes": {}}
    for classes in CLASSES:
        result["classes"][classes] = measure(classes, given.size, settings)
    text = json.dumps(msgspec.to_builtins(result), indent=2)
    print(text)
    if given.output:
        given.output.write_text(text + "\n")


def measure(classes: int, size: int, settings: BenchSettings) -> dict[str, Any]:
    """By engine and form: median milliseconds of the form and of the chosen one, and the paired ratio."""
    features = np.random.default_rng(0).standard_normal((1, CHANNELS, size, size)).astype(np.float32)
    found: dict[str, Any] = {}
    for engine in ("openvino f32", "openvino bf16", "onnxruntime fp32"):
        chosen = partial(opened, graph(CHOSEN, classes, size), engine, features)
        for form, text in FORMS.items():
            other = partial(opened, graph(text, classes, size), engine, features)
            ours, theirs, ratio = compare(other, chosen, settings, names=(form, "flat ArgMax"))
            row = {"ms": median(ours), "flat_argmax_ms": median(theirs), "ratio": ratio}
            found.setdefault(engine, {})[form] = row
    return found


def graph(decision: str, classes: int, size: int) -> ModelProto:
    """float32 [1,16,size,size] -> 1x1 convolution -> decision -> uint8 [1,size,size]."""
    weight = np.random.default_rng(1).standard_normal((classes, CHANNELS, 1, 1)).astype(np.float32)
    model = parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]>
        forms (float[1,{CHANNELS},{size},{size}] features) => (uint8[1,{size},{size}] class_map)
        <int64[3] planar = {{1, {classes}, {size * size}}}, int64[3] image = {{1, {size}, {size}}},
         int64[1] one = {{1}}>
        {{ scores = Conv(features, weight) {decision} class_map = Cast<to = 2>(back) }}""")
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "weight"))
    return model


@contextmanager
def opened(model: ModelProto, engine: str, features: np.ndarray) -> Iterator[Call]:
    name, hint = engine.split()
    if name == "onnxruntime":
        ready = session(model, optimised=True)
        yield lambda: ready.run(None, {"features": features})
        return
    core = ov.Core()
    network = core.read_model(model.SerializeToString())
    request = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": hint}).create_infer_request()
    yield lambda: request.infer({0: features}, share_inputs=True)


if __name__ == "__main__":
    main()
