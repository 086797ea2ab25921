"""Does the planner find the fastest plan? All plans over at most 10 blocks are forecast, the best 20 timed.

    EDGESEG_DATA=... python benchmarks/planner.py [--b0 WEIGHTS] [--output benchmarks/results/planner.json]

CamVid at 360x480, openvino-int8, no limit on accuracy, so that only time decides. First the planner chooses.
Then every plan is forecast from what it measured; the 20 fastest forecasts, its choice, all int8 and float
are built again and timed in turn, by their whole time without profiling. For each plan the table has the
paired ratio to float and its 95% interval. Passed: the interval of the ratio between the choice and the
fastest plan touches 1. Networks: Mobile-UNet with the weights of EDGESEG_DATA, and Eff-UNet-B0, a swish
network (without --b0 its weights are random: its times are true).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeseg.core.recipe import Budget, ModelChoice
from edgeseg.core.target import Target
from edgeseg.datasets import Dataset, open_dataset
from edgeseg.datasets.calibration import spread
from edgeseg.datasets.held_out import held_out_images
from edgeseg.datasets.pictures import Inputs
from edgeseg.device.environment import read_environment
from edgeseg.device.statistics import paired_ratio
from edgeseg.graph.export import export_torch
from edgeseg.graph.fold import fold
from edgeseg.models.load import resolve
from edgeseg.quantization.placement.blocks import neighbours
from edgeseg.quantization.planner.evaluator import FloatNodes, Timed
from edgeseg.quantization.planner.forecast import Plans, all_plans
from edgeseg.quantization.planner.held_out_loss import HeldOut
from edgeseg.quantization.planner.search import Search
from edgeseg.quantization.planner.settings import PlanSettings
from edgeseg.quantization.planner.trial import TargetEvaluator
from edgeseg.quantization.planner.tried import float_nodes
from edgeseg.quantization.ptq import calibrate
from edgeseg.quantization.schemes import scheme_for

TARGET = Target.parse("openvino-int8")
INPUT, CAMERA = (384, 480), (360, 480)
BLOCKS, BEST = 10, 20


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--b0", default="", help="weights of Eff-UNet-B0")
    parser.add_argument("--only", choices=("mobile-unet", "eff-unet-b0"))
    parser.add_argument("--races", type=int, default=3, help="of all plans, 12 turns of 4 runs each")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ["EDGESEG_DATA"])
    networks = {
        "mobile-unet": ModelChoice(name="mobile-unet", weights=str(data / "weights" / "munet_camvid.pt")),
        "eff-unet-b0": ModelChoice(
            name="eff-unet", weights=arguments.b0, options={"encoder": "tu-tf_efficientnet_b0"}
        ),
    }
    dataset = open_dataset("camvid", data / "camvid")
    result: dict[str, Any] = {"cpu": read_environment().cpu, "target": str(TARGET)}
    for name, choice in networks.items():
        if arguments.only in (None, name):
            result[name] = examine(choice, dataset, arguments.races)
            print(name, summary(result[name]), flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(msgspec.to_builtins(result), indent=2) + "\n")
    return 0 if all(found["passed"] for found in result.values() if isinstance(found, dict)) else 1


def examine(choice: ModelChoice, dataset: Dataset, races: int) -> dict[str, Any]:
    choice = msgspec.structs.replace(choice, input_size=INPUT)
    loaded = resolve(choice, classes=dataset.classes, ignore_index=dataset.ignore_index)
    graph = fold(export_torch(loaded.module, (3, *INPUT)))
    images = spread(dataset.split("train"), 64)
    inputs = Inputs(images, loaded.spec, CAMERA, name=graph.graph.input[0].name)
    begin = time.perf_counter()
    calibrated = calibrate(graph, inputs, scheme_for(TARGET.engine))
    calibration_s = time.perf_counter() - begin
    held_out = held_out_images(dataset, "train", (images,), count=40)
    begin = time.perf_counter()
    judge = HeldOut(graph, loaded.spec, CAMERA, held_out)
    with TargetEvaluator(calibrated, judge, TARGET) as evaluator:
        search = Search(
            calibrated.model, calibrated.groups, evaluator, Budget(), PlanSettings(blocks=BLOCKS), report
        ).run()
    planning_s = time.perf_counter() - begin
    chosen = search.best.int8 if search.best else np.zeros(len(search.blocks), bool)
    plans, rows = contestants(search, chosen)
    with TargetEvaluator(calibrated, judge, TARGET, profile=False) as evaluator:
        timed = whole_times(evaluator, rows, races)
    ours = next(i for i, plan in enumerate(plans) if (plan == chosen).all())
    medians = [one.milliseconds for one in timed]
    best = int(np.argmin(medians))
    against_best = paired_ratio(timed[ours].openings, timed[best].openings, a="choice", b="fastest")
    table = [
        {
            "float_blocks": [block.name for block, int8 in zip(search.blocks, plan) if not int8],
            "forecast_ms": float(forecast(search, plan[None])[0]),
            "ms": median,
            "against_float": paired_ratio(one.openings, timed[0].openings, a="plan", b="float"),
            "chosen": index == ours,
        }
        for index, (plan, one, median) in enumerate(zip(plans, timed, medians))
    ]
    return {
        "random_weights": not choice.weights,
        "blocks": [block.name for block in search.blocks],
        "plans_forecast": 2 ** len(search.blocks),
        "calibration_s": calibration_s,
        "planning_s": planning_s,
        "choice_against_fastest": against_best,
        "passed": against_best.low <= 1.0 or ours == best,
        "plans": table,
    }


def forecast(search: Search, plans: Plans) -> np.ndarray:
    """Milliseconds of each plan, as the search forecasts them in the end."""
    return search.timings.forecast(plans, search.blocks, neighbours(search.model, search.blocks))


def contestants(search: Search, chosen: np.ndarray) -> tuple[list[np.ndarray], list[FloatNodes]]:
    """Float first, then all int8, the choice, and the fastest forecasts."""
    every = all_plans(len(search.blocks))
    order = np.argsort(forecast(search, every), kind="stable")[:BEST]
    count = len(search.blocks)
    plans = [np.zeros(count, bool), np.ones(count, bool), chosen, *every[order]]
    unique = list({plan.tobytes(): plan for plan in plans}.values())
    return unique, [float_nodes(search.blocks, plan) for plan in unique]


def whole_times(evaluator: TargetEvaluator, plans: list[FloatNodes], races: int) -> list[Timed]:
    found = evaluator.race(plans)
    for _ in range(races - 1):
        found = [one.more(other) for one, other in zip(found, evaluator.race(plans))]
    return list(found)


def summary(found: dict[str, Any]) -> str:
    r = found["choice_against_fastest"]
    ours = next(row for row in found["plans"] if row["chosen"])
    return (
        f"planned in {found['planning_s']:.0f} s after {found['calibration_s']:.0f} s of calibration; "
        f"the choice takes {ours['against_float'].ratio:.3f} of float; "
        f"over the fastest of {len(found['plans'])} timed plans {r.ratio:.3f} [{r.low:.3f}, {r.high:.3f}]: "
        f"{'passed' if found['passed'] else 'MISSED'}"
    )


def report(message: str, done: int = 0, total: int = 0) -> None:
    if not done:
        print(f"  {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
