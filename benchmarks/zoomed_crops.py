"""Do held-out training images tell what int8 loses? Drops there, on enlarged parts of them, and on val.

    EDGESEG_DATA=... python benchmarks/zoomed_crops.py BUNDLE... [--output FILE.json]

BUNDLE: int8 engine bundles of one network on CamVid. Drops of mIoU, in points against the FP32 network, on 40
images of train, on an enlarged part of each (`datasets/zoomed_crops.py`), and on the 101 images of val.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from edgeseg.core.bundle import Bundle
from edgeseg.datasets import Split, open_dataset
from edgeseg.datasets.calibration import spread
from edgeseg.datasets.zoomed_crops import with_zoomed_crops
from edgeseg.graph.deploy import compose
from edgeseg.metrics import confusion, mean_iou
from edgeseg.quantization.planner.trial_engine import Simulated
from edgeseg.runtime import load
from edgeseg.runtime.tasks import task_of

IMAGES = 40


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    dataset = open_dataset("camvid", Path(os.environ["EDGESEG_DATA"]) / "camvid")
    known = spread(dataset.split("train"), IMAGES)
    views = with_zoomed_crops(known)
    splits = {
        "train": known,
        "train, zoomed crops": replace(views, ids=views.ids[len(known) :]),
        "val": dataset.split("val"),
    }
    rows = {str(path): measured(Bundle.open(path), splits) for path in given.bundles}
    if given.output:
        given.output.write_text(json.dumps(list(rows.values()), indent=2) + "\n")


def measured(bundle: Bundle, splits: dict[str, Split]) -> dict[str, object]:
    spec, camera = bundle.manifest.model, bundle.engine.camera_size
    plain = onnx.load(str(bundle.file(bundle.manifest.graph)))
    reference = Simulated(compose(plain, spec, camera), task_of(spec))
    row: dict[str, object] = {"notes": bundle.manifest.notes}
    with load(bundle.path, threads=2, check=False) as engine:
        for name, split in splits.items():
            found = [np.zeros((len(split.classes), len(split.classes)), np.int64) for _ in range(2)]
            for index in range(len(split)):
                image, label = split.image(index), split.label(index)
                for total, mask in zip(found, (reference.found(image), engine(image))):
                    total += confusion(label, mask, len(split.classes), split.ignore_index)
            before, after = (100 * float(mean_iou(total)) for total in found)
            row[name] = round(before - after, 2)
    print(bundle.path, {name: row[name] for name in splits}, flush=True)
    return row


if __name__ == "__main__":
    main()
