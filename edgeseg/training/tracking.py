"""Where curves go: TensorBoard files, or Weights & Biases."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from edgeseg.errors import InputError, MissingDependency
from edgeseg.training.settings import TrainSettings

PROJECT = "edgeseg"


class Tracker(Protocol):
    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Scalars of an optimiser step."""

    def close(self) -> None: ...


def open_tracker(folder: Path, step: int, settings: TrainSettings) -> Tracker:
    """The tracker that `settings.track` names, for a training in `folder` that goes on after `step`.

    Raises:
        MissingDependency: its package is not installed.
        InputError: Weights & Biases refuses, for want of a login for example.
    """
    return WandB(folder, settings) if settings.track == "wandb" else TensorBoard(folder, step)


class TensorBoard:
    """Steps after `step` that an earlier run wrote are dropped."""

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as fault:
            raise MissingDependency("tensorboard", "train", needed_for="training curves") from fault
        self._writer = SummaryWriter(folder / "tensorboard", purge_step=step + 1)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class WandB:
    """A run of the project `edgeseg`, through Accelerate's tracker. A resumed training goes on in its run;
    with WANDB_MODE=offline the runs stay in `folder/wandb` until `wandb sync`."""

    def __init__(self, folder: Path, settings: TrainSettings) -> None:
        try:
            import wandb
        except ModuleNotFoundError as fault:
            raise MissingDependency("wandb", "track", needed_for="tracking with Weights & Biases") from fault
        from accelerate.tracking import WandBTracker

        quiet = wandb.Settings(silent=True, console="off")
        identity = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        resume = None if os.environ.get("WANDB_MODE") == "offline" else "allow"
        self._tracker: Any = WandBTracker(
            PROJECT, dir=str(folder), name=folder.name, id=identity, resume=resume, settings=quiet
        )
        try:
            self._tracker.start()
        except wandb.Error as fault:
            raise InputError(
                f"Weights & Biases cannot start: {str(fault).splitlines()[0]}",
                hint="run `wandb login`, or set WANDB_MODE=offline",
            ) from fault
        self._tracker.store_init_configuration(msgspec.to_builtins(settings))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self._tracker.log(dict(values), step=step)

    def close(self) -> None:
        self._tracker.finish()
