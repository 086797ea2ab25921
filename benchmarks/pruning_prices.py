"""What a channel is charged for: its multiply-accumulates, or its share of the measured time of its layers.

    EDGESEG_DATA=... python benchmarks/pruning_prices.py [--target TARGET] [--keep 0.58] [--output FILE]

Mobile-UNet is pruned by `taylor` over either price until it takes `keep` of its time on the target, with
widths that are multiples of 8 and of 16. Printed are what remains of the time and of the
multiply-accumulates, and the mIoU without fine-tuning, as `pruning_importance.py` takes it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from edgeseg.flow.latency import EngineStopwatch
from edgeseg.pruning import Costs, score
from edgeseg.pruning.cost import Removal
from edgeseg.pruning.importance import per_cost
from edgeseg.pruning.search import history_of
from edgeseg.steps._pruning_latency import OnTarget
from pruning_importance import SHAPE, Trial

TRIES = 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="openvino-bf16")
    parser.add_argument("--keep", type=float, default=0.58)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ["EDGESEG_DATA"])
    trial = Trial(data / "camvid", data / "weights" / "munet_camvid.pt")
    whole = Costs(trial.module, SHAPE).macs
    found = []
    with tempfile.TemporaryDirectory() as folder:
        clock = OnTarget(trial.module, SHAPE, arguments.target, EngineStopwatch(), Path(folder))
        scores = score("taylor", trial.module, trial.units, losses=trial.losses)
        times = clock.layers(trial.module)

        def time_after(removal: Removal) -> float:
            return clock.share(trial.pruned(history_of(removal))).ratio

        for price, prices in (
            ("MAC", trial.costs.prices(trial.units)),
            ("millisecond", trial.costs.prices(trial.units, times=times)),
        ):
            for multiple in (8, 16):
                small = trial.network(per_cost(scores, prices), time_after, arguments.keep, multiple, TRIES)
                row = {
                    "per": price,
                    "multiple": multiple,
                    "time": clock.share(small).ratio,
                    "macs": Costs(small, SHAPE).macs / whole,
                    "miou": trial.recovered(small),
                }
                found.append(row)
                print(json.dumps(row), flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
