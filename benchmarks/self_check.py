"""What the check of a new engine lets pass and what it stops: networks and precisions, right and wrong.

    python benchmarks/self_check.py [--only demo ...] [--targets ort-fp16 ...] [--output FILE]

Each network is exported to every target that runs here without `--data` (int8 needs images), as a user does
it; what ended with 0 is timed and compared with float on 20 images, so it opens in three processes. Then
its file gets `--faults`: one channel of one convolution changes its sign, the engine is built from that and
has to be refused. A fault counts when it moves over 1% of the pixels of the golden frames in float. Weights
and images are read from EDGESEG_DATA; one network is trained here, once. The same command goes on where it
stopped.
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
from onnx import ModelProto, TensorProto, numpy_helper

from _random_networks import KINDS
from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle
from edgeseg.core.drafts import BundleDraft
from edgeseg.core.ports import BuildSettings
from edgeseg.core.target import Target
from edgeseg.device.build import make_engine
from edgeseg.device.environment import read_environment
from edgeseg.device.opening import WrongEngine
from edgeseg.graph.dequantize import dequantized
from edgeseg.graph.golden import outputs_of
from edgeseg.graph.widen import widened
from edgeseg.quantization.schemes import scheme_named
from edgeseg.runtime.check import golden_frames
from edgeseg.runtime.tasks import Outputs, task_of
from edgeseg.steps._proof import compared

TARGETS = (
    "openvino-fp32",
    "openvino-bf16",
    "openvino-fp16",
    "openvino-int8",
    "ort-fp32",
    "ort-fp16",
    "ort-int8",
)
COUNTS = 0.01
IMAGES = "20"
ISA = "ONEDNN_MAX_CPU_ISA"
WORK = Path("runs/self_check")
EDGESEG = (sys.executable, "-m", "edgeseg")


def networks(only: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Names, of all or of `only`, and how each is given to `edgeseg export`."""
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
        text = root / "onnx" / "ch_PP-OCRv4_det_infer.onnx"
        half = ["--set", "mean=0.5,0.5,0.5", "--set", "std=0.5,0.5,0.5", "--set", "resize=letterbox"]
        yield "pp-ocr", ["--model", str(text), "--input-size", "320x320", *half]
        salient = root / "onnx" / "u2netp.onnx"
        scale = [
            "--set",
            "mean=0.485,0.456,0.406",
            "--set",
            "std=0.229,0.224,0.225",
            "--set",
            "resize=letterbox",
        ]
        yield "u2netp", ["--model", str(salient), *scale, "--set", "output=1959"]
        if not only or "deeplabv3plus" in only:
            weights = trained(root)
            yield "deeplabv3plus", ["--model", "deeplabv3plus-mobile", "--weights", str(weights), *size]
    for kind in KINDS:
        options = [
            "--option",
            f"kind={kind}",
            "--input-size",
            "256x320",
            "--trust-file",
            "--set",
            "resize=letterbox",
        ]
        yield kind, ["--model", f"{factory}:network", *options]


def trained(root: Path) -> Path:
    """Weights of a network that was trained here for a few minutes."""
    place = WORK / "trained"
    found = place / "best.safetensors"
    if not found.exists():
        encoder = root / "encoders" / "torchvision_mobilenet_v2_features.pth"
        command = [
            *EDGESEG,
            "train",
            "--model",
            "deeplabv3plus-mobile",
            "--data",
            f"camvid={root / 'camvid'}",
        ]
        command += ["--option", f"encoder_weights={encoder}", "--input-size", "384x480", "-o", str(place)]
        settings = ("steps=200", "batch=4", "crop=192,240", "validate_every=200", "precision=bf16")
        subprocess.run([*command, *(f"--train={one}" for one in settings)], check=True)
    return found


def images() -> str:
    """Data that calibrates and is compared with float: images without labels."""
    data = os.environ.get("EDGESEG_DATA")
    return f"images={Path(data) / 'camvid' / 'val'}" if data else "synthetic-streets"


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--only", nargs="*", default=[])
    arguments.add_argument("--targets", nargs="*", default=TARGETS)
    arguments.add_argument("--faults", type=int, default=10)
    arguments.add_argument("--output", type=Path, default=WORK / "self_check.json")
    given = arguments.parse_args()
    given.output.parent.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"cpu": read_environment().cpu, "isa": os.environ.get(ISA, ""), "rows": []}
    if given.output.exists():
        known = json.loads(given.output.read_text())
        if (known["cpu"], known["isa"]) != (result["cpu"], result["isa"]):
            sys.exit(f"{given.output} was measured on {known['cpu']} {known['isa']}; give another --output")
        result = {**known, "rows": [row for row in known["rows"] if "refused" not in row]}
    done = {(row["network"], row["target"]) for row in result["rows"]}
    for name, how in networks(given.only):
        for text in given.targets:
            target = Target.parse(text)
            if (given.only and name not in given.only) or (name, text) in done:
                continue
            if not backend_for(target).availability(target).run:
                continue
            row = {"network": name, "target": text, **tried(how, text, given.faults)}
            print(json.dumps({k: v for k, v in row.items() if k != "faults"}), flush=True)
            result["rows"].append(row)
            given.output.write_text(json.dumps(result, indent=1) + "\n")
    rows = result["rows"]
    print(table(rows))
    return int(any("refused" in row or row["caught"] < row["counted"] for row in rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line per network and a column per target: the lowest agreement, and faults caught of those
    that count."""
    cells = {
        (row["network"], row["target"]): "refused"
        if "refused" in row
        else f"{100 * min(row['agreement'], default=1):.2f}% · {row['caught']}/{row['counted']}"
        for row in rows
    }
    targets = [target for target in TARGETS if any(key[1] == target for key in cells)]
    lines = [f"| network | {' | '.join(targets)} |", "|---" * (len(targets) + 1) + "|"]
    for name in dict.fromkeys(row["network"] for row in rows):
        lines.append(f"| {name} | {' | '.join(cells.get((name, target), '') for target in targets)} |")
    return "\n".join(lines)


def tried(how: list[str], target: str, faults: int) -> dict[str, Any]:
    """Agreement of the right engine, and how many wrong ones were refused."""
    with TemporaryDirectory(prefix="edgeseg-self-check-") as folder:
        make = ["export", *how]
        if target.endswith("int8"):
            make = ["quantize", *how, "--data", images(), "--no-plan", "--calibration", "16"]
        refused, _ = command(*make, "--target", target, "-o", folder)
        if refused:
            return {"refused": refused}
        bundle = Bundle.open(next(p for p in Path(folder).iterdir() if p.is_dir()))
        timed, times = command("bench", str(bundle.path), "--min-runs", "20", "--min-seconds", "0.5")
        kind, _, place = images().partition("=")
        data = ["--images", place] if place else ["--data", kind]
        verified, verdict = command(
            "verify", str(bundle.path), *data, "--limit", IMAGES, "--worst", "0", "-o", f"{folder}/verify"
        )
        if timed or verified:
            return {"refused": f"after export: {timed} {verified}"}
        golden = bundle.manifest.golden
        assert golden is not None
        agreed = [c.agreement for c in bundle.manifest.checks if c.agreement is not None]
        right = onnx.load(str(bundle.file(bundle.engine.graph)))
        before = outputs_of(as_float(right), golden_frames(bundle).frames)
        found = [_fault(bundle, right, before, seed) for seed in range(faults)]
        return {
            "agreement": agreed,
            "host_ms": times["measurements"][0]["host"]["p50"],
            "on_images": verdict["agreement"]["equal"],
            "compared": golden.compared,
            "shows": golden.shows,
            "counted": sum("caught" in one for one in found),
            "caught": sum(one.get("caught", False) for one in found),
            "faults": found,
        }


def command(*words: str) -> tuple[str, Any]:
    """What the command says where it does not end with 0, and its JSON."""
    done = subprocess.run([*EDGESEG, *words, "--json"], capture_output=True, text=True)
    if done.returncode not in (0, 3):  # 3: a noisy machine, of no matter here
        return f"{words[0]} ended with {done.returncode}: " + " ".join(done.stderr.split())[-600:], None
    return "", json.loads(done.stdout)


def _fault(bundle: Bundle, right: ModelProto, before: Outputs, seed: int) -> dict[str, Any]:
    """What one wrong channel moves, and whether the engine made of it is refused: of those that count."""
    record, promised = bundle.engine, bundle.manifest.golden
    model, place = negated(right, seed)
    golden = golden_frames(bundle)
    assert promised is not None and golden is not None
    same = task_of(bundle.manifest.model).same(before, outputs_of(as_float(model), golden.frames))
    moved = float((~same).mean())
    if moved <= COUNTS:
        return {"at": place, "moved": moved}
    target, int8 = Target.parse(record.target), bundle.manifest.quantization
    rest = scheme_named(int8.scheme).rest if int8 else target.precision
    rest = rest if backend_for(target).graph.precision == "stated" else ""
    with TemporaryDirectory(prefix="edgeseg-fault-") as folder:
        work = BundleDraft(Path(folder))
        onnx.save(model, str(work.path / record.graph))
        (work.path / promised.file).write_bytes(bundle.file(promised.file).read_bytes())
        built, _ = make_engine(msgspec.structs.replace(record, entry=""), work.path, BuildSettings())
        work.finish(msgspec.structs.replace(bundle.manifest, engine=built))
        assert work.manifest is not None
        try:
            compared(Bundle(work.path, work.manifest), rest, work.path / "cache")
        except WrongEngine as fault:
            return {"at": place, "moved": moved, "caught": True, "computed": fault.computed}
    return {"at": place, "moved": moved, "caught": False}


def as_float(model: ModelProto) -> ModelProto:
    """The network in float32, without levels: between them, any change moves 0.5% of the pixels."""
    return dequantized(widened(model))


def negated(right: ModelProto, seed: int) -> tuple[ModelProto, str]:
    """The network with another sign in one output channel of one convolution, and which."""
    model = ModelProto()
    model.CopyFrom(right)
    random = np.random.default_rng(seed)
    tensors = {t.name: t for t in model.graph.initializer}
    stored = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}

    def constant(name: str) -> TensorProto | None:
        return tensors.get(stored.get(name, name))

    convolutions = [n for n in model.graph.node if n.op_type == "Conv" and constant(n.input[1]) is not None]
    node = convolutions[random.integers(len(convolutions))]
    found = [tensor for name in node.input[1:3] if (tensor := constant(name)) is not None]
    channel = int(random.integers(found[0].dims[0]))
    for tensor in found:
        values = numpy_helper.to_array(tensor).copy()
        values[channel] *= -1
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model, f"{node.name}[{channel}]"


if __name__ == "__main__":
    sys.exit(main())
