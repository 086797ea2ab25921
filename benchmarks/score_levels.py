"""What a class decision that reads uint8 levels of the scores wins and loses (`placement/score_grid.py`).

    EDGESEG_DATA=... python benchmarks/score_levels.py [--weights NETWORK=FILE ...] [--output FILE.json]

Networks of the peers benchmark on CamVid at 360x480, `openvino-int8` with every layer in int8, calibrated by
64 images of train. The engine that reads the scores and the one that reads levels take turns. Class maps are
those of 60 other images of train: the share of pixels that change, and mIoU against the labels.
"""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from _peers.material import CAMERA, INPUT, NETWORKS, Material
from edgeseg.core.target import Target
from edgeseg.datasets.calibration import spread
from edgeseg.datasets.held_out import held_out_images
from edgeseg.datasets.pictures import Inputs
from edgeseg.device.environment import read_environment
from edgeseg.device.statistics import paired_ratio
from edgeseg.graph.deploy import compose
from edgeseg.graph.export import export_torch
from edgeseg.graph.fold import fold
from edgeseg.models.load import resolve
from edgeseg.quantization.planner.held_out_loss import HeldOut
from edgeseg.quantization.planner.trial_engine import Built, in_turn
from edgeseg.quantization.ptq import quantize
from edgeseg.quantization.schemes import scheme_for
from edgeseg.runtime.tasks import task_of

TARGET = Target.parse("openvino-int8")
LAPS = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", action="append", default=[], metavar="NETWORK=FILE")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    weights = {name: Path(file) for name, file in (text.split("=", 1) for text in given.weights)}
    known = [name for name, network in NETWORKS.items() if network.weights or name in weights]
    result: dict[str, Any] = {"cpu": read_environment().cpu, "target": str(TARGET)}
    result["networks"] = {name: measured(Material(name, weights.get(name), Path(), 64, {})) for name in known}
    if given.output:
        given.output.write_text(json.dumps(msgspec.to_builtins(result), indent=2) + "\n")


def measured(material: Material) -> dict[str, Any]:
    train = material.train
    loaded = resolve(material.choice(), classes=train.classes, ignore_index=train.ignore_index)
    plain = fold(export_torch(loaded.module, (3, *INPUT)))
    images = spread(train, material.images)
    inputs = Inputs(images, loaded.spec, CAMERA, name=plain.graph.input[0].name)
    int8 = quantize(plain, inputs, scheme_for(TARGET.engine))
    judge = HeldOut(
        plain, loaded.spec, CAMERA, held_out_images(material.dataset, "train", (images,), count=60)
    )
    with ExitStack() as stack:
        engines = []
        for grid in (None, int8.scores):
            deploy = compose(int8.model, loaded.spec, CAMERA, score_grid=grid)
            engines.append(Built(deploy, task_of(loaded.spec), TARGET, CAMERA))
            stack.callback(engines[-1].close)
        before, after = (judge.loss(engine.found).drop for engine in engines)
        maps = [np.stack([engine.found(frame) for frame in judge.frames]) for engine in engines]
        laps = [in_turn(engines, judge.frames[0]) for _ in range(LAPS)]
        scores, levels = ([one for lap in laps for one in lap[index].openings] for index in range(2))
        ratio = paired_ratio(levels, scores, a="levels", b="scores")
    changed = float((maps[0] != maps[1]).mean())
    row = {"ratio": ratio, "drop_scores": float(before), "drop_levels": float(after), "changed": changed}
    print(
        f"{material.name}: time {ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}], drop {before:.3f} -> "
        f"{after:.3f} points, {changed:.3%} of the pixels change",
        flush=True,
    )
    return row


if __name__ == "__main__":
    main()
