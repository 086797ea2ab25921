"""What the step `prune` does to a network, whatever it was opened from."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec

from edgeseg.core.documents import read_json, write_document
from edgeseg.core.model_spec import ModelSpec, Pruned
from edgeseg.core.target import Target
from edgeseg.pruning.settings import PruneSettings
from edgeseg.steps import Context
from edgeseg.steps._pruning_latency import OnTarget
from edgeseg.training.settings import TrainSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeseg.datasets.split import Split
    from edgeseg.pruning.cost import Costs, Removal
    from edgeseg.pruning.units import Unit

UNITS = {"macs": (1e9, "GMAC"), "parameters": (1e6, "M parameters"), "latency": (0.01, "latency in percent")}
LATENCY_TRIES = 64


class Settings(PruneSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        finetune: training settings after every round; its loss may hold `distil`, which compares with the
            network before pruning. None: the weights that remain stay as they are.
        held_out: images at the end of the training split that choose the best weights and are not trained
            on, at most a quarter of it. The validation split is never read.
    """

    finetune: TrainSettings | None = None
    held_out: Annotated[int, msgspec.Meta(ge=1)] = 40


class Round(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one round took, kept beside its training: measured latency may choose otherwise the next time."""

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int = 1
    pruning: tuple[Pruned, ...]


class Pruning:
    """A network that becomes narrower round by round.

    Attributes:
        history: what was taken so far.
    """

    def __init__(self, module: nn.Module, spec: ModelSpec, settings: Settings, context: Context) -> None:
        from edgeseg.pruning.cost import Costs
        from edgeseg.pruning.units import find_units

        self.module, self.spec, self.settings, self.context = module, spec, settings, context
        self.history: tuple[Pruned, ...] = ()
        self.teacher = copy.deepcopy(module)
        units = find_units(module, spec.input_shape, settings.protect)
        self.floors = {u.layer: max(1, int(settings.layer_keep * u.width)) for u in units}
        self.steps = self._staircase(max(u.width for u in units)) if settings.staircase else ()
        self.before = Costs(module, spec.input_shape)
        self.on_target: OnTarget | None = None
        if settings.by == "latency":
            assert context.stopwatch is not None
            self.on_target = OnTarget(
                self.teacher, spec.input_shape, settings.target, context.stopwatch, context.work
            )

    def round(self, number: int) -> str:
        """Prune to the round's share of the goal, fine-tune. Returns a note about the fine-tuning, if any."""
        from edgeseg.models.pruning import replay

        folder = self.context.work / f"round-{number}"
        record = folder / "round.json"
        if not record.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            cuts = self._choose(self.settings.keep ** (number / self.settings.rounds))
            write_document(record, Round(pruning=cuts))
        cuts = read_json(record, Round).pruning
        replay(self.module, cuts, self.spec.input_shape)
        self.history += cuts
        return self._finetune(self.settings.finetune, folder, number) if self.settings.finetune else ""

    def summary(self) -> str:
        from edgeseg.pruning.cost import Costs

        chosen, now = self.settings, Costs(self.module, self.spec.input_shape)
        told = [
            f"pruned by {chosen.importance}: {self.before.macs / 1e9:.3f} to {now.macs / 1e9:.3f} GMAC",
            f"{self.before.parameters / 1e6:.3f} to {now.parameters / 1e6:.3f} M parameters",
        ]
        if self.on_target:
            share = self.on_target.share(self.module)
            told.append(
                f"{100 * share.ratio:.0f}% of the latency on {chosen.target} "
                f"(95% interval {100 * share.low:.0f} to {100 * share.high:.0f})"
            )
        return ", ".join(told)

    def _choose(self, share: float) -> tuple[Pruned, ...]:
        """What has to go so that `share` of the network before pruning remains."""
        from edgeseg.pruning.cost import Costs
        from edgeseg.pruning.importance import per_cost, score
        from edgeseg.pruning.search import PLENTY, shrink
        from edgeseg.pruning.units import find_units

        chosen = self.settings
        self.context.progress(f"choosing channels by {chosen.importance}")
        units = find_units(self.module, self.spec.input_shape, chosen.protect)
        scores = score(chosen.importance, self.module, units, losses=self._losses, seed=chosen.seed)
        costs = Costs(self.module, self.spec.input_shape)
        if chosen.importance == "taylor":
            times = self.on_target.layers(self.module) if self.on_target else {}
            prices = costs.prices(units, parameters=chosen.by == "parameters", times=times)
            scores = per_cost(scores, prices)
        scale, unit = UNITS[chosen.by]
        return shrink(
            units,
            scores,
            lambda removal: self._cost(removal, units, costs) / scale,
            share * self._cost_before() / scale,
            floors=self.floors,
            multiple=chosen.multiple,
            steps=self.steps,
            tries=LATENCY_TRIES if self.on_target else PLENTY,
            what=f"the network's {unit}",
        )

    def _cost(self, removal: Removal, units: tuple[Unit, ...], costs: Costs) -> float:
        from edgeseg.models.pruning import replay
        from edgeseg.pruning.search import history_of

        if self.on_target:
            candidate = copy.deepcopy(self.module)
            replay(candidate, history_of(removal), self.spec.input_shape)
            return self.on_target.share(candidate).ratio
        macs, parameters = costs.after(units, removal)
        return macs if self.settings.by == "macs" else parameters

    def _cost_before(self) -> float:
        if self.on_target:
            return 1.0
        return self.before.macs if self.settings.by == "macs" else self.before.parameters

    def _staircase(self, widest: int) -> tuple[int, ...]:
        from edgeseg.pruning.staircase import measure_staircase, probe_widths, treads

        assert self.context.stopwatch is not None
        height, width = self.spec.input_size
        size = (max(1, height // 8), max(1, width // 8))
        target = Target.parse(self.settings.target)
        return treads(
            measure_staircase(
                self.context.stopwatch, target, probe_widths(widest), size, self.context.progress
            )
        )

    def _losses(self, module: nn.Module) -> Iterator[Tensor]:
        """The loss of single images as they are, without augmentation."""
        from edgeseg.datasets.calibration import spread
        from edgeseg.training.data import Samples
        from edgeseg.training.evaluate import loss_of

        plain = TrainSettings(flip=0.0, scale=(1.0, 1.0), color=0.0)
        images = spread(_splits(self.settings, self.context)[0], self.settings.images)
        samples = Samples(images, self.spec, plain)
        for index in range(len(images)):
            yield loss_of(module, *samples[0, index], self.spec)

    def _finetune(self, settings: TrainSettings, folder: Path, number: int) -> str:
        from edgeseg.models.checkpoint import load_into, read_state_dict
        from edgeseg.training.loop import train

        context = self.context
        result = train(
            self.module,
            *_splits(self.settings, context),
            self.spec,
            settings,
            folder / "training",
            context.progress,
            resume=True,
            teacher=self.teacher,
        )
        load_into(self.module, read_state_dict(result.weights), result.weights)
        self.module.eval()
        shutil.rmtree(folder / "training" / "tensorboard", ignore_errors=True)
        card = result.card
        return (
            f"round {number} of {self.settings.rounds}: fine-tuned to {card.metric} {100 * card.score:.2f} "
            "on held-out training images"
        )


def _splits(settings: Settings, context: Context) -> tuple[Split, Split]:
    """The frames to learn from, and those that choose the weights."""

    assert context.dataset is not None
    images = context.dataset.split(context.train).limit(context.limit)
    learnt, judged = images.hold_out(settings.held_out)
    return context.seen(learnt), context.seen(judged)
