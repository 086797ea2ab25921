"""How many images bias correction needs: mIoU of mobile-unet in int8 on held-out images of CamVid train.

    .venv/bin/python benchmarks/bias_images.py

Ranges come from 64 training images; the means of 8 to 64 of them correct the biases. 40 other training images
score the Q/DQ graph in OpenVINO. Prints a line per number of images; seconds are of this machine.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import onnx
import openvino

from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe
from edgeseg.datasets import open_dataset
from edgeseg.datasets.calibration import spread
from edgeseg.datasets.pictures import Inputs
from edgeseg.flow.make import export
from edgeseg.metrics import confusion, mean_iou
from edgeseg.quantization.bias_correction import bias_shifts
from edgeseg.quantization.ptq import PtqSettings, apply, calibrate
from edgeseg.quantization.ranges.probe import opener
from edgeseg.quantization.schemes import scheme_named

DATA = Path(os.environ["EDGESEG_DATA"])
CAMERA = (360, 480)


def main() -> None:
    train = open_dataset("camvid", DATA / "camvid").split("train")
    calibration = spread(train, 64)
    held_out = spread(replace(train, ids=tuple(i for i in train.ids if i not in calibration.ids)), 40)
    with TemporaryDirectory() as folder:
        recipe = Recipe(
            schema_version=1,
            name="bias",
            model=ModelChoice(name="mobile-unet", weights=str(DATA / "weights" / "munet_camvid.pt")),
            data=DataChoice(name="camvid", root=str(DATA / "camvid")),
            targets=("ort-fp32",),
        )
        (bundle,) = export(recipe, Path.cwd(), Path(folder))
        plain = onnx.load(str(bundle.file(bundle.manifest.graph)))
    spec, name = bundle.manifest.model, plain.graph.input[0].name
    images = [feed[name] for feed in Inputs(held_out, spec, CAMERA, name=name)]
    labels = [held_out.label(i) for i in range(len(held_out))]

    def miou(model: onnx.ModelProto) -> float:
        core = openvino.Core()
        engine = core.compile_model(core.read_model(model.SerializeToString()), "CPU")
        maps = [engine({0: image})[0][0].argmax(axis=0)[: CAMERA[0]].astype(np.uint8) for image in images]
        total = sum(confusion(label, found, 11, spec.ignore_index) for label, found in zip(labels, maps))
        return 100 * float(mean_iou(total))

    print(f"float: {miou(plain):.2f}")
    feeds = Inputs(calibration, spec, CAMERA, name=name)
    calibrated = calibrate(plain, feeds, scheme_named("openvino"), PtqSettings(correct_bias=False))
    quantised = apply(calibrated).model
    print(f"uncorrected: {miou(quantised):.2f}")
    for engine in ("onnxruntime", "openvino"):
        for count in (8, 16, 32, 64):
            some = Inputs(spread(calibration, count), spec, CAMERA, name=name)
            start = time.perf_counter()
            shifts = bias_shifts(calibrated.model, quantised, some, open_probe=opener(engine))
            seconds = time.perf_counter() - start
            corrected = apply(msgspec.structs.replace(calibrated, shifts=shifts)).model
            print(f"{count} images in {engine}: {miou(corrected):.2f}, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
