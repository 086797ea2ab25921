"""Which importance finds the channels that do not matter: Mobile-UNet at half its multiply-accumulates.

    EDGESEG_DATA=... python benchmarks/pruning_importance.py [--output FILE]

mIoU of the pruned network without fine-tuning, after its BatchNorm statistics were measured anew, on 40
images of CamVid train that neither rank channels (46 images) nor give statistics (48, cropped). CamVid val is
not read. Each importance ranks the channels as it is, and divided by the multiply-accumulates that leave with
a channel; `taylor` also divided by the mean over its layer.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from edgeseg.core.model_spec import Pruned
from edgeseg.core.recipe import ModelChoice
from edgeseg.datasets import open_dataset
from edgeseg.datasets.calibration import spread
from edgeseg.models.load import resolve
from edgeseg.models.pruning import replay
from edgeseg.pruning import Costs, find_units, score, shrink
from edgeseg.pruning.cost import Removal
from edgeseg.pruning.importance import Scores, per_cost
from edgeseg.pruning.search import PLENTY
from edgeseg.training.average import refresh_statistics
from edgeseg.training.data import Samples, Share, loader
from edgeseg.training.evaluate import figures_of, loss_of
from edgeseg.training.settings import TrainSettings

SIZE = (384, 480)
SHAPE = (3, *SIZE)
KEEP, LAYER_KEEP = 0.5, 0.1
STATISTICS = TrainSettings(batch=8, crop=(256, 320))
BATCHES = 6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ["EDGESEG_DATA"])
    trial = Trial(data / "camvid", data / "weights" / "munet_camvid.pt")
    found = {"unpruned": trial.miou(trial.module)}
    print(f"unpruned: {found['unpruned']:.1f}", flush=True)
    for name, scores in trial.rankings():
        small = trial.network(scores, trial.macs_after, KEEP * trial.costs.macs)
        found[name] = trial.recovered(small)
        print(f"{name}: {found[name]:.1f}", flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=2) + "\n")


class Trial:
    def __init__(self, camvid: Path, weights: Path) -> None:
        dataset = open_dataset("camvid", camvid)
        train = dataset.split("train")
        self.held_out = spread(train, 40)
        self.rest = replace(train, ids=tuple(i for i in train.ids if i not in self.held_out.ids))
        choice = ModelChoice(name="mobile-unet", weights=str(weights), input_size=SIZE)
        loaded = resolve(choice, classes=dataset.classes, ignore_index=dataset.ignore_index)
        self.spec, self.module = loaded.spec, loaded.module.eval()
        self.units, self.costs = find_units(self.module, SHAPE), Costs(self.module, SHAPE)

    def rankings(self) -> Iterator[tuple[str, Mapping[str, Scores]]]:
        prices = self.costs.prices(self.units)
        for importance in ("taylor", "l1", "bn", "random"):
            found = score(importance, self.module, self.units, losses=self.losses)
            if importance == "taylor":
                yield "taylor over layer mean", {k: v / max(v.mean(), 1e-30) for k, v in found.items()}
            yield importance, found
            yield f"{importance} per cost", per_cost(found, prices)

    def network(
        self,
        scores: Mapping[str, Scores],
        cost: Callable[[Removal], float],
        limit: float,
        multiple: int = 8,
        tries: int = PLENTY,
    ) -> nn.Module:
        """The network pruned until `cost` is at the limit."""
        floors = {u.layer: max(1, int(LAYER_KEEP * u.width)) for u in self.units}
        history = shrink(self.units, scores, cost, limit, floors=floors, multiple=multiple, tries=tries)
        return self.pruned(history)

    def pruned(self, history: Iterable[Pruned]) -> nn.Module:
        small = copy.deepcopy(self.module)
        replay(small, history, SHAPE)
        return small

    def macs_after(self, removal: Removal) -> float:
        return self.costs.after(self.units, removal)[0]

    def recovered(self, small: nn.Module) -> float:
        """mIoU in percent after BatchNorm statistics were measured anew."""
        batches = loader(self.rest, self.spec, STATISTICS, Share(0, 1, 8), 0, BATCHES)
        refresh_statistics(small, (image for image, _ in batches))
        return self.miou(small)

    def miou(self, module: nn.Module) -> float:
        return 100.0 * figures_of(module.eval(), self.held_out, self.spec).value

    def losses(self, module: nn.Module) -> Iterator[torch.Tensor]:
        plain = TrainSettings(flip=0.0, scale=(1.0, 1.0), color=0.0)
        images = spread(self.rest, 46)
        samples = Samples(images, self.spec, plain)
        for index in range(len(images)):
            yield loss_of(module, *samples[0, index], self.spec)


if __name__ == "__main__":
    main()
