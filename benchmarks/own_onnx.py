"""A user's own ONNX files in int8: agreement with their float masks, after PTQ with everything in int8, after
PTQ with a plan within a budget, and after a short QAT of the planned graph.

    .venv/bin/python benchmarks/own_onnx.py

Reads U2-Net-p (salient objects) and the PP-OCRv4 text detector from `$EDGESEG_DATA/onnx` and pedestrian
images from `$EDGESEG_DATA/pennfudan`; text is drawn on the images for the detector. 64 calibrate and train,
15 are held out to plan with, 40 others judge: IoU of the masks pooled over all judged pixels, and the
correlation of the maps before their sigmoid. Every network takes the road of a user:
`edgeseg export --model FILE.onnx --data images=FOLDER --target openvino-int8`. Writes results/own_onnx.json.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgeseg.core.bundle import Bundle
from edgeseg.core.recipe import Budget, DataChoice, ModelChoice, Recipe, StepChoice
from edgeseg.datasets.images import image_files
from edgeseg.datasets.pictures import resize_frame
from edgeseg.flow.make import export
from edgeseg.runtime.preprocess import preprocess

RESULT = Path(__file__).parent / "results" / "own_onnx.json"
CALIBRATION, JUDGED, HELD_OUT = 64, 40, 15
FILES = {
    "u2netp": ((320, 320), {}, {"output": "1959"}),
    "ch_PP-OCRv4_det_infer": ((320, 480), {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}, {}),
}
"""Input size and pixel contract."""
PTQ = {"ranges": "mse"}
"""The best of four range methods for both files, on images that judge nothing here."""
PLAN = {"ptq": PTQ, "plan": {"images": HELD_OUT, "zoomed_crops": False}}
"""The networks were not trained on these images: their enlarged parts tell nothing more."""
BUDGET = Budget(max_drop=1.0)
"""Points of agreement, mean of mask and background; about two of the mask alone."""
TARGETS = ("openvino-int8", "ort-int8", "rtx-int8", "trt-int8")
QAT = {"steps": 12, "batch": 4, "lr": 1e-5, "validate_every": 6, "held_out": 12, "zoomed_crops": False}
WORDS = ("EXIT", "Platform 9", "No parking", "Rue de la Paix", "24 km", "OPEN", "Bus stop", "Hotel Adler")
EPSILON = 1e-6


def draw_text(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Four to eight words at random places, sizes and colours."""
    canvas = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(4, 9))):
        size = int(rng.integers(14, 48))
        place = (int(rng.integers(0, max(1, image.width - 120))), int(rng.integers(0, image.height - size)))
        color = tuple(int(v) for v in rng.integers(0, 256, 3))
        canvas.text(place, str(rng.choice(WORDS)), font=ImageFont.load_default(size), fill=color)
    return image


def write_images(source: Path, folder: Path, *, text: bool) -> tuple[Path, Path]:
    """The images to calibrate and plan with, and those that judge."""
    files = image_files(source)
    for index in range(CALIBRATION + JUDGED + HELD_OUT):
        image = Image.fromarray(files.image(index))
        if text:
            image = draw_text(image, np.random.default_rng(index))
        judges = CALIBRATION <= index < CALIBRATION + JUDGED
        place = folder / ("judged" if judges else "calibration")
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{index:03}.png")
    return folder / "calibration", folder / "judged"


def maps(bundle: Bundle, graph: str, frames: list[np.ndarray]) -> np.ndarray:
    """What a graph of a bundle gives for the judged frames in OpenVINO fp32: probabilities [N,h,w]."""
    import openvino

    spec = bundle.manifest.model
    core = openvino.Core()
    model = core.compile_model(
        core.read_model(str(bundle.file(graph))), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    found = []
    for frame in frames:
        result = model({0: preprocess(frame[None], spec.preprocess, spec.input_size)})
        found.append(result[spec.postprocess.output][0, 0].copy())
    return np.stack(found)


def agreement(floats: np.ndarray, others: np.ndarray, threshold: float = 0.5) -> dict[str, float]:
    a, b = floats > threshold, others > threshold
    before = [np.log(p / (1 - p)) for p in (np.clip(m, EPSILON, 1 - EPSILON) for m in (floats, others))]
    return {
        "pooled_iou": float((a & b).sum() / max(1, (a | b).sum())),
        "positive_share": float(a.mean()),
        "logit_correlation": float(np.corrcoef(before[0].ravel(), before[1].ravel())[0, 1]),
        "logit_mean_error": float(np.abs(before[0] - before[1]).mean()),
    }


def run(name: str, data: Path, work: Path) -> dict[str, object]:
    size, preprocessing, postprocessing = FILES[name]
    calibration, judged = write_images(
        data / "pennfudan" / "PNGImages", work / name, text=name.startswith("ch_PP")
    )
    model = ModelChoice(
        name=str(data / "onnx" / f"{name}.onnx"),
        input_size=size,
        preprocess={**preprocessing, "resize": "stretch"},
        postprocess=postprocessing,
    )
    files = image_files(judged)
    frames = [resize_frame(files.image(i), size) for i in range(len(files))]
    result: dict[str, object] = {"calibrated_on": CALIBRATION, "judged_on": len(frames)}
    for way, settings, extra in (
        ("ptq", {"ptq": PTQ}, ()),
        ("planned", PLAN, ()),
        ("qat", PLAN, (StepChoice(use="qat", settings=QAT),)),
    ):
        recipe = Recipe(
            schema_version=1,
            name=name,
            model=model,
            data=DataChoice(name="images", root=str(calibration)),
            camera_size=size,
            steps=(StepChoice(use="export"), StepChoice(use="quantize", settings=settings), *extra),
            targets=TARGETS if way == "ptq" else TARGETS[:1],
            budget=BUDGET,
        )
        bundles = export(recipe, Path.cwd(), work / name / way, overwrite=True, progress=print)
        first = bundles[0]
        made = first.manifest.quantization
        floats = maps(first, first.manifest.graph, frames)
        result[way] = agreement(floats, maps(first, made.graph, frames))
        result[way]["float_nodes"] = sum(p != "int8" for p in made.plan.values())
        result[way]["notes"] = list(first.manifest.notes)
        result[f"{way}_bundles"] = {b.engine.target: b.manifest.kind for b in bundles}
    return result


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("runs/own_onnx"))
    parser.add_argument("--only", choices=FILES)
    given = parser.parse_args()
    data = Path(os.environ["EDGESEG_DATA"])
    results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for name in FILES if given.only is None else (given.only,):
        results[name] = run(name, data, given.work)
        RESULT.write_text(json.dumps(results, indent=1) + "\n")
        print(json.dumps({name: results[name]}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
