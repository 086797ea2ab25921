"""Training: one loop on Accelerate, for one process or several, that survives a kill."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from accelerate.utils import gather_object, send_to_device

from edgeseg.core.documents import read_json
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Progress, silent
from edgeseg.datasets import Split
from edgeseg.datasets.split import require_task
from edgeseg.errors import InputError
from edgeseg.metrics.tasks import metric_of
from edgeseg.models.card import Card
from edgeseg.training import state as saved
from edgeseg.training.average import Average, refresh_statistics
from edgeseg.training.data import Share, loader, share_of
from edgeseg.training.evaluate import kept_of
from edgeseg.training.layout import NCHW, fast_layout
from edgeseg.training.losses import parse_loss
from edgeseg.training.memory import kept_memory
from edgeseg.training.processes import accelerator_for
from edgeseg.training.results import round_to_half, write_best
from edgeseg.training.schedule import learning_rate
from edgeseg.training.settings import TrainSettings
from edgeseg.training.state import Journal, Validation
from edgeseg.training.taps import Taps
from edgeseg.training.tasks import training_of
from edgeseg.training.tracking import open_tracker
from edgeseg.training.trainable import require_weights, trainable

REFRESH_STEPS = 16
"""Batches from which BatchNorm statistics of SWA weights are measured."""

NOTHING = Validation(0, -1.0)


@dataclass(frozen=True)
class TrainResult:
    """
    Attributes:
        weights: `best.safetensors`, chosen by `TrainSettings.select`; `best.json` beside it is the card.
        card: score, scores per class, settings and command of these weights.
        steps: optimiser steps done in all.
        history: every validation.
        notes: what the user should know of the weights it started from, one sentence each.
    """

    weights: Path
    card: Card
    steps: int
    history: tuple[Validation, ...]
    notes: tuple[str, ...] = ()


def train(
    module: torch.nn.Module,
    train: Split,
    val: Split,
    spec: ModelSpec,
    settings: TrainSettings,
    folder: Path,
    progress: Progress = silent,
    *,
    resume: bool = False,
    command: str = "",
    teacher: torch.nn.Module | None = None,
    features: Sequence[str] = (),
) -> TrainResult:
    """Train `module` and keep the best weights by the metric of the task on `val`, or the last ones.

    `folder` gets `best.safetensors` + `best.json`, `state.safetensors` (to resume from) and
    TensorBoard files. The same settings give the same weights, however often the run is killed
    and resumed, and up to rounding on any number of processes (BatchNorm sees its own part only).

    Args:
        module: float32 [N,C,H,W] to what its task takes; holds the last weights afterwards.
        resume: go on from `folder` if it holds a training.
        command: the command line, for the card.
        teacher: the network that the loss `distil` compares with: the same input, scores and classes.
        features: names of submodules that `module` and `teacher` both have; the loss `features` compares what
            they return.

    Raises:
        InputError: settings that cannot work, `distil` or `features` without a teacher, a folder that holds
            another training, a loss that is no longer finite.
    """
    run = _Run(module, train, val, spec, settings, folder, progress, command, teacher, features)
    run.start(resume)
    with kept_memory(), trainable(settings):
        run.fit()
    return run.finish()


class _Run:
    def __init__(
        self,
        module: torch.nn.Module,
        train: Split,
        val: Split,
        spec: ModelSpec,
        settings: TrainSettings,
        folder: Path,
        progress: Progress,
        command: str,
        teacher: torch.nn.Module | None,
        features: Sequence[str],
    ) -> None:
        _check(train, val, spec)
        self.task, self.metric = training_of(spec.task), metric_of(spec, val.ignore_index)
        self.loss = parse_loss(settings.loss, self.task)
        self.loss.require_teacher(there=teacher is not None)
        if self.loss.compares_features and not features:
            raise InputError(
                f"the loss '{self.loss}' has no inner maps to compare", hint="name some as features"
            )
        self.train, self.val, self.spec, self.settings = train, val, spec, settings
        self.folder, self.command = folder, command
        self.accelerator = accelerator_for(settings)
        self.main = self.accelerator.is_main_process
        self.progress = progress if self.main else silent
        self.share = share_of(settings, self.accelerator.process_index, self.accelerator.num_processes)
        self.origin = saved.origin_of(module, train, val, spec, features, self.progress)
        self.total, self.interval = settings.total_steps(len(train)), settings.validation_interval(len(train))
        self.layout = fast_layout(module, (spec.preprocess.channels, *(settings.crop or spec.input_size)))
        self.step = 0
        self.best = NOTHING
        self.history: tuple[Validation, ...] = ()
        self.shadow = copy.deepcopy(module).to(self.accelerator.device).eval()
        self.teacher = teacher.to(self.accelerator.device).eval() if teacher and self.loss.distils else None
        if self.teacher is not None:
            self.teacher.to(memory_format=self.layout)
        self.model, self.optimizer = self.accelerator.prepare(module, _optimizer(module, settings))
        self.module: torch.nn.Module = self.accelerator.unwrap_model(self.model)
        compared = features if self.teacher is not None and self.loss.compares_features else ()
        self.taps = Taps((self.module, *filter(None, [self.teacher])), compared)
        self.average = Average(
            settings.average,
            self.module,
            decay=settings.ema_decay,
            start=round(settings.swa_start * self.total),
        )

    def start(self, resume: bool) -> None:
        found = saved.read_state(self.folder)
        if found is None:
            if self.main:
                self.folder.mkdir(parents=True, exist_ok=True)
        elif not resume:
            raise InputError(f"{self.folder} holds a training", hint="resume it, or choose another --output")
        else:
            journal, tensors = found
            saved.require_same(journal, self.settings, self.origin, self.folder)
            saved.restore(tensors, self.module, self.average.state, self.optimizer.optimizer)
            self.step, self.best, self.history = journal.step, journal.best, journal.history
            if self.accelerator.scaler is not None and journal.scaler:
                self.accelerator.scaler.load_state_dict(journal.scaler)
        self.accelerator.wait_for_everyone()
        self.scalars = open_tracker(self.folder, self.step, self.settings) if self.main else None

    def fit(self) -> None:
        self.model.train()
        batches = iter(loader(self.train, self.spec, self.settings, self.share, self.step, self.total))
        while self.step < self.total:
            loss = self._optimise(batches)
            self.step += 1
            if self.scalars:
                self.scalars.add(self.step, {"train/loss": loss, "train/lr": self._rate(self.step - 1)})
            told = self._said()
            self.progress(f"training: loss {loss:.3f}, {told}", self.step, self.total)
            if self.step % self.interval == 0 or self.step == self.total:
                self._validate()
                self._save()
                self.model.train()

    def finish(self) -> TrainResult:
        self.accelerator.wait_for_everyone()
        self.taps.remove()
        if self.scalars:
            self.scalars.close()
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False).eval()
        self.module.to(memory_format=NCHW)
        card = read_json(self.folder / "best.json", Card)
        return TrainResult(self.folder / "best.safetensors", card, self.step, self.history)

    def _optimise(self, batches: Iterator[Any]) -> float:
        """One optimiser step. Returns the mean loss over its parts on this process."""
        torch.manual_seed(self.settings.seed + self.step * self.share.processes + self.share.rank)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(self.step)
        losses = []
        for _ in range(self.settings.accumulate):
            image, target = send_to_device(next(batches), self.accelerator.device)
            image = image.to(memory_format=self.layout)
            with self.accelerator.accumulate(self.model):
                losses.append(self._part(image, target))
        self.average.update(self.module, self.step)
        mean = float(np.mean(losses))
        if not np.isfinite(mean):
            raise InputError(
                f"the loss is {mean} at step {self.step + 1}",
                expected="a finite number",
                hint="use a smaller --train lr=...",
            )
        return mean

    def _part(self, image: torch.Tensor, target: Any) -> float:
        contract = self.spec.postprocess
        answer = self.task.answer(self.model, image, target, contract)
        taught = None
        if self.teacher is not None:
            with torch.no_grad(), self.accelerator.autocast():
                taught = self.task.taught(self.teacher, image, answer, contract)
        loss = self.loss(answer, target, taught, self.taps.pairs())
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.detach())

    def _validate(self) -> None:
        self.progress("validating", self.step, self.total)
        self.shadow.load_state_dict(self.average.state)
        if self.average.averaging(self.step - 1):
            alone = Share(0, 1, self.settings.batch)
            one_part = msgspec.structs.replace(self.settings, accumulate=1)
            batches = loader(self.train, self.spec, one_part, alone, 0, REFRESH_STEPS)
            refresh_statistics(self.shadow, (image.to(self.accelerator.device) for image, _ in batches))
        if self.settings.half:
            round_to_half(self.shadow)
        mine = range(self.share.rank, len(self.val), self.share.processes)
        kept = kept_of(self.shadow, self.val, self.spec, mine, device=self.accelerator.device)
        self._note(gather_object([self.metric.together(kept)] if kept else []))

    def _note(self, kept: Sequence[Any]) -> None:
        """Record a validation, and its weights if they are those to keep so far."""
        figures, metric = self.metric.figures(kept), self.metric
        now = Validation(self.step, figures.value)
        self.history = (*self.history, now)
        per_class = dict(zip(self.spec.class_names, map(float, figures.classes)))
        if self.scalars:
            values = {f"val/{metric.class_metric}/{name}": v for name, v in per_class.items() if v == v}
            self.scalars.add(self.step, {f"val/{metric.metric}": now.score, **values})
        if now.score > self.best.score or self.settings.select == "last":
            self.best = now
            if self.main:
                data = {"name": self.train.dataset, "train": self.train.name, "validation": self.val.name}
                write_best(
                    self.folder, self.shadow, self.spec, now, per_class, data, self.settings, self.command
                )

    def _save(self) -> None:
        if not self.main:
            return
        scaler = self.accelerator.scaler
        journal = Journal(
            step=self.step,
            best=self.best,
            history=self.history,
            settings=self.settings,
            origin=self.origin,
            scaler=scaler.state_dict() if scaler is not None else {},
        )
        saved.save_state(self.folder, journal, self.module, self.average.state, self.optimizer.optimizer)

    def _said(self) -> str:
        if self.best.step == 0:
            return "no validation yet"
        told = f"{self.settings.select} {self.metric.metric} {self.best.score:.4f}"
        return f"{told} at step {self.best.step}"

    def _rate(self, step: int) -> float:
        return learning_rate(step, self.total, self.settings)


def _optimizer(module: torch.nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Weight decay on kernels only, not on biases and normalisation."""
    weights = require_weights(module)
    groups = [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=settings.lr)


def _check(train: Split, val: Split, spec: ModelSpec) -> None:
    for split in (train, val):
        if len(split) == 0:
            raise InputError(f"the split '{split.name}' of {split.dataset} has no images")
        require_task(split, spec)
        if len(split.classes) > len(spec.classes):
            raise InputError(
                f"'{spec.name}' has {len(spec.classes)} classes, {split.dataset} has {len(split.classes)}",
                expected="a class in the network for each one in the data",
                hint=f"use --classes {len(split.classes)}",
            )
