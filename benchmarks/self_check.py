"""What the check of a new engine lets pass and what it stops: networks and precisions, right and wrong.

    python benchmarks/self_check.py [--only demo ...] [--output benchmarks/results/self_check.json]

Each network is exported to every target that runs here, without `--data`, as a user does it: an export that
ends with 0 made an engine that opened, any other is a false alarm. Then its file gets `--faults`: one channel
of one convolution changes its sign, the engine is built from that and has to be refused. A fault counts when
it moves over 1% of the pixels of the golden frames. Networks with weights are read from EDGESEG_DATA.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import ModelProto, numpy_helper

from _random_networks import KINDS
from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle, BundleDraft
from edgeseg.core.ports import BuildSettings
from edgeseg.core.target import Target
from edgeseg.device.build import make_engine
from edgeseg.device.environment import read_environment
from edgeseg.device.opening import WrongEngine
from edgeseg.graph.golden import class_maps
from edgeseg.graph.widen import widened
from edgeseg.runtime.check import golden_frames
from edgeseg.steps.build import prove_engine

TARGETS = ("openvino-fp32", "openvino-bf16", "openvino-fp16", "ort-fp32", "ort-fp16")
COUNTS = 0.01


def networks() -> Iterator[tuple[str, list[str]]]:
    """Names and how each is given to `edgeseg export`."""
    factory = Path(__file__).with_name("_random_networks.py")
    yield "demo", ["--model", "demo", "--camera-size", "240x320"]
    data = os.environ.get("EDGESEG_DATA")
    if data:
        root = Path(data)
        size = ["--input-size", "384x480", "--camera-size", "360x480", "--classes", "camvid"]
        weights = root / "weights"
        yield "mobile-unet", ["--model", "mobile-unet", "--weights", str(weights / "munet_camvid.pt"), *size]
        yield (
            "eff-unet-lite0",
            ["--model", "eff-unet", "--weights", str(weights / "effunet_camvid.pt"), *size],
        )
        half = ["--set", "mean=0.5,0.5,0.5", "--set", "std=0.5,0.5,0.5"]
        text = root / "onnx" / "ch_PP-OCRv4_det_infer.onnx"
        yield "pp-ocr", ["--model", str(text), "--input-size", "320x320", *half]
    for kind in KINDS:
        options = ["--option", f"kind={kind}", "--input-size", "256x320", "--trust-file"]
        yield kind, ["--model", f"{factory}:network", *options]


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--only", nargs="*", default=[])
    arguments.add_argument("--faults", type=int, default=10)
    arguments.add_argument("--output", type=Path)
    given = arguments.parse_args()
    result: dict[str, Any] = {"cpu": read_environment().cpu, "rows": []}
    for name, how in networks():
        if given.only and name not in given.only:
            continue
        for text in TARGETS:
            target = Target.parse(text)
            if not backend_for(target).availability(target).run:
                continue
            row = {"network": name, "target": text, **tried(how, text, given.faults)}
            print(json.dumps(row), flush=True)
            result["rows"].append(row)
            if given.output:
                given.output.write_text(json.dumps(result, indent=2) + "\n")
    rows = result["rows"]
    return int(any("refused" in row or row["caught"] < row["counted"] for row in rows))


def tried(how: list[str], target: str, faults: int) -> dict[str, Any]:
    """Agreement of the right engine, and how many wrong ones were refused."""
    with TemporaryDirectory(prefix="edgeseg-self-check-") as folder:
        command = [
            sys.executable,
            "-m",
            "edgeseg",
            "export",
            *how,
            "--target",
            target,
            "-o",
            folder,
            "--json",
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return {"refused": " ".join(done.stderr.split())[:400]}
        bundle = Bundle.open(next(p for p in Path(folder).iterdir() if p.is_dir()))
        golden = bundle.manifest.golden
        assert golden is not None
        agreed = [c.agreement for c in bundle.manifest.checks if c.agreement is not None]
        found = [_fault(bundle, seed) for seed in range(faults)]
        large = [one for one in found if one["moved"] > COUNTS]
        return {
            "agreement": agreed,
            "compared": golden.compared,
            "shows": golden.shows,
            "counted": len(large),
            "caught": sum(one["caught"] for one in large),
            "caught_of_all": sum(one["caught"] for one in found),
            "faults": found,
        }


def _fault(bundle: Bundle, seed: int) -> dict[str, Any]:
    record, golden = bundle.engine, golden_frames(bundle)
    assert golden is not None
    model, place = negated(onnx.load(str(bundle.file(record.graph))), seed)
    moved = float((class_maps(widened(model), golden.frames) != golden.stored).mean())
    target = Target.parse(record.target)
    rest = target.precision if backend_for(target).reads_precision else ""
    with TemporaryDirectory(prefix="edgeseg-fault-") as folder:
        work = BundleDraft(Path(folder))
        onnx.save(model, str(work.path / record.graph))
        assert bundle.manifest.golden is not None
        file = bundle.manifest.golden.file
        (work.path / file).write_bytes(bundle.file(file).read_bytes())
        built, _ = make_engine(msgspec.structs.replace(record, entry=""), work.path, BuildSettings())
        work.finish(msgspec.structs.replace(bundle.manifest, engine=built))
        assert work.manifest is not None
        try:
            prove_engine(Bundle(work.path, work.manifest, ""), rest, work.path / "cache")
        except WrongEngine as fault:
            named = str(fault).partition("The first node that differs is ")[2].partition(",")[0]
            return {"at": place, "moved": moved, "caught": True, "named": named}
    return {"at": place, "moved": moved, "caught": False}


def negated(model: ModelProto, seed: int) -> tuple[ModelProto, str]:
    """One output channel of one convolution with the other sign, and which."""
    random = np.random.default_rng(seed)
    tensors = {t.name: t for t in model.graph.initializer}
    convolutions = [n for n in model.graph.node if n.op_type == "Conv" and n.input[1] in tensors]
    node = convolutions[random.integers(len(convolutions))]
    channel = int(random.integers(tensors[node.input[1]].dims[0]))
    for name in node.input[1:3]:
        values = numpy_helper.to_array(tensors[name]).copy()
        values[channel] *= -1
        tensors[name].CopyFrom(numpy_helper.from_array(values, name))
    return model, f"{node.name}[{channel}]"


if __name__ == "__main__":
    sys.exit(main())
