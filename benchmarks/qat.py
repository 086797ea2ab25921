"""What QAT gives back of the accuracy that int8 costs: Mobile-UNet on CamVid.

    nice -n 10 .venv/bin/python benchmarks/qat.py 2>&1 | tee -a benchmarks/results/qat.log

Needs EDGESEG_DATA. For int8 as it ships, and for drops made large on purpose (4-bit weights, one scale per
weight): PTQ from 64 images of CamVid train, then the step `qat` on the first 327 images of train; the last 40
choose the weights. CamVid val is read once per graph, at the end: mIoU of the class map of OpenVINO.

A killed run goes on where it was. `--only` trains one of them and scores nothing: for trials with `--set`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import torch

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.recipe import ModelChoice
from edgeseg.datasets import Split, open_dataset
from edgeseg.datasets.pictures import Inputs
from edgeseg.device.environment import read_environment
from edgeseg.graph.export import export_torch
from edgeseg.graph.fold import fold
from edgeseg.metrics import confusion, mean_iou, paired_drop
from edgeseg.models.load import resolve
from edgeseg.quantization.bias_correction import bias_shifts
from edgeseg.quantization.ptq import Calibrated, PtqSettings, apply, calibrate
from edgeseg.quantization.schemes import scheme_named
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import decided
from edgeseg.steps import Context, Frames
from edgeseg.steps.qat import Settings, splits, train_graph

SIZE = (384, 480)
CALIBRATION = 64
PTQ = {
    "4-bit weights": PtqSettings(weight_bits=4),
    "per-tensor weights": PtqSettings(per_channel=False),
    "int8": PtqSettings(),
}
QAT: dict[str, dict[str, Any]] = {
    "4-bit weights": {"steps": 60, "lr": 1e-4},
    "per-tensor weights": {"steps": 200, "lr": 1e-4},
    "int8": {"steps": 40, "lr": 3e-5},
}
COMMON = {"batch": 4, "crop": (192, 256), "held_out": 40, "zoomed_crops": False}
"""Drops as large as these show on the held-out images themselves."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("runs/qat"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/qat.json"))
    parser.add_argument("--only", choices=PTQ, help="train this one and score nothing")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a QAT setting")
    given = parser.parse_args()
    torch.set_num_threads(2)
    data = Path(os.environ["EDGESEG_DATA"])
    network = _Network(data, given.work)
    changed = {k: msgspec.json.decode(v) if v[0] in "0123456789[" else v for k, v in _pairs(given.set)}
    if given.only:
        network.trained(given.only, changed)
        return
    for name in PTQ:
        network.trained(name, changed)
    result = network.scores()
    result |= {
        "cpu": read_environment().cpu,
        "settings": {n: msgspec.to_builtins(_settings(n, changed)) for n in PTQ},
    }
    text = json.dumps(result, indent=2)
    print(text)
    given.output.write_text(text + "\n")


class _Network:
    """The network, its quantised graphs and what training made of them; files in `work`."""

    def __init__(self, data: Path, work: Path) -> None:
        self.work = work
        work.mkdir(parents=True, exist_ok=True)
        choice = ModelChoice(
            name="mobile-unet", weights=str(data / "weights/munet_camvid.pt"), classes=11, input_size=SIZE
        )
        loaded = resolve(choice)
        assert loaded.module is not None
        self.spec: ModelSpec = loaded.spec
        self.plain = self._file("float", lambda: fold(export_torch(loaded.module, (3, *SIZE))))
        self.camvid = open_dataset("camvid", data / "camvid")
        self.histograms: Calibrated | None = None

    def trained(self, name: str, changed: dict[str, Any]) -> None:
        """Quantise, then train."""
        settings = _settings(name, changed)
        context = self._context(name)
        train, held_out = splits(settings, context)
        calibration = replace(train, ids=train.ids[:: len(train) // CALIBRATION][:CALIBRATION])
        inputs = Inputs(calibration, self.spec, train.image(0).shape[:2], name="image")
        quantized = self._file(f"{name} ptq", lambda: self._quantized(PTQ[name], inputs))

        def training() -> onnx.ModelProto:
            model, notes = train_graph(
                self.plain, quantized, "openvino", self.spec, settings, context, train, held_out
            )
            (self.work / f"{_slug(name)}.txt").write_text("\n".join(notes) + "\n")
            return model

        self._file(f"{name} qat", training)
        print(f"{name}: {(self.work / f'{_slug(name)}.txt').read_text().strip()}", flush=True)

    def scores(self) -> dict[str, Any]:
        """mIoU in points on CamVid val, and drops with their 95% intervals."""
        val = self.camvid.split("val")
        matrices = {
            name: _matrices(onnx.load(str(path)), val, self.spec)
            for path in sorted(self.work.glob("*.onnx"))
            for name in [path.stem]
        }
        base = matrices["float"]
        rows: dict[str, Any] = {}
        notes = {name: (self.work / f"{_slug(name)}.txt").read_text().splitlines() for name in PTQ}
        for name, found in matrices.items():
            drop = paired_drop(base, found)
            rows[name] = {
                "miou": round(100 * float(mean_iou(found.sum(axis=0))), 3),
                "drop": [round(v, 3) for v in (drop.drop, drop.low, drop.high)],
            }
        for name in map(_slug, PTQ):
            lost, left = (rows[f"{name}-{kind}"]["drop"][0] for kind in ("ptq", "qat"))
            rows[f"{name}-qat"]["recovered"] = round(1 - left / lost, 3)
        return {"camvid val": rows, "images": len(val), "notes": notes}

    def _quantized(self, settings: PtqSettings, inputs: Inputs) -> onnx.ModelProto:
        """PTQ; the histograms of activations are the same for all settings."""
        if self.histograms is None:
            self.histograms = calibrate(
                self.plain, inputs, scheme_named("openvino"), PtqSettings(correct_bias=False)
            )
        made = msgspec.structs.replace(self.histograms, settings=settings)
        shifts = bias_shifts(made.model, apply(made).model, inputs)
        return apply(msgspec.structs.replace(made, shifts=shifts)).model

    def _context(self, name: str) -> Context:
        started = time.monotonic()

        def report(message: str, done: int = 0, total: int = 0) -> None:
            if message.startswith("training") and done % 10 == 0:
                print(f"{time.monotonic() - started:7.0f} s  {name}: {message} ({done}/{total})", flush=True)

        return Context(
            camera_size=(360, 480),
            frames=Frames("real", lambda count: np.zeros((count, 360, 480, 3), np.uint8)),
            work=self.work / f"{_slug(name)}-training",
            cache=self.work / "cache",
            dataset=self.camvid,
            progress=report,
        )

    def _file(self, name: str, make: Any) -> onnx.ModelProto:
        path = self.work / f"{_slug(name)}.onnx"
        if not path.is_file():
            model = make()
            onnx.save(model, str(path.with_suffix(".part")))
            path.with_suffix(".part").replace(path)
        return onnx.load(str(path))


def _matrices(model: onnx.ModelProto, split: Split, spec: ModelSpec) -> np.ndarray[Any, Any]:
    """Confusion matrices [images,C,C] of the graph in OpenVINO; what stays float is computed in float32."""
    import openvino

    core = openvino.Core()
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 2}
    request = core.compile_model(
        core.read_model(model.SerializeToString()), "CPU", config
    ).create_infer_request()
    found = []
    for index in range(len(split)):
        image = split.image(index)
        scores = request.infer({"image": preprocess(image[None], spec.preprocess, spec.input_size)})[0]
        place = spec.preprocess.place(image.shape[:2], spec.input_size)
        classes = decided(scores, spec, place)[0]
        found.append(confusion(split.label(index), classes, len(spec.classes), split.ignore_index))
    return np.stack(found)


def _settings(name: str, changed: dict[str, Any]) -> Settings:
    """Validated once, at the end, unless asked for otherwise."""
    chosen = {**COMMON, **QAT[name], **changed}
    return msgspec.convert({"validate_every": chosen["steps"], **chosen}, Settings)


def _pairs(texts: list[str]) -> list[tuple[str, str]]:
    return [(key, value) for key, _, value in (text.partition("=") for text in texts)]


def _slug(name: str) -> str:
    return name.replace(" ", "-")


if __name__ == "__main__":
    main()
