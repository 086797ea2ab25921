"""Train or fine-tune from the command line; the recipe step of the same name is `edgeseg/steps/train.py`."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.core.documents import convert
from edgeseg.core.exclusive import alone
from edgeseg.core.model_spec import DEFAULT_TASK
from edgeseg.core.ports import Progress, silent
from edgeseg.core.preprocess import Size
from edgeseg.core.recipe import ModelChoice
from edgeseg.core.samples import require_disjoint
from edgeseg.datasets.choice import parse_data
from edgeseg.datasets.framed import framed
from edgeseg.datasets.pictures import seen_by
from edgeseg.errors import InputError
from edgeseg.flow.beforehand import known_task, require_fit, require_folder, require_network
from edgeseg.flow.data import open_data
from edgeseg.flow.plan import with_input_size

if TYPE_CHECKING:
    from edgeseg.training.loop import TrainResult


def train(
    choice: ModelChoice,
    data: str,
    folder: Path,
    settings: dict[str, Any],
    *,
    camera: Size | None = None,
    limit: int = 0,
    trust_file: bool = False,
    command: str = "",
    progress: Progress = silent,
) -> TrainResult:
    """Train on the `train` split of `data`, validate on `val`; weights, log and state go to `folder`.

    A folder that holds an unfinished training of the same settings is resumed. `command` is recorded
    beside the weights.

    Raises:
        InputError: a setting that does not fit, no data, splits that share an image, or another process that
            trains in `folder`.
        ModelError, CheckpointError: see `edgeseg.models.load.resolve`.
    """
    from edgeseg.models.load import resolve
    from edgeseg.training.loop import train
    from edgeseg.training.losses import parse_loss
    from edgeseg.training.processes import first_process
    from edgeseg.training.settings import TrainSettings
    from edgeseg.training.tasks import training_of

    typed = convert(settings, TrainSettings, where="training settings", error=InputError)
    require_network(choice)
    _require_loss(typed.loss, known_task(choice))
    require_folder(folder)
    opened = open_data(parse_data(data), choice)
    if opened.dataset is None:
        raise InputError("train got no --data", expected="--data NAME[=ROOT]")
    camera = camera or opened.frame_size
    choice = with_input_size(choice, camera)
    require_fit(choice, camera, opened)
    with alone(folder, "trains in") if first_process() else nullcontext():
        loaded = resolve(
            choice,
            classes=opened.classes,
            ignore_index=opened.ignore_index,
            frame=opened.frame,
            trust_file=trust_file,
        )
        parse_loss(typed.loss, training_of(loaded.spec.task)).require_teacher(there=False)
        if camera is not None:
            loaded.spec.preprocess.place(camera, loaded.spec.input_size)
        dataset = framed(opened.dataset, loaded.spec.preprocess.frame)
        train_split, val_split = (dataset.split(name).limit(limit) for name in ("train", "val"))
        require_disjoint(train_split.sample_list(progress), val_split.sample_list(progress))
        region = loaded.spec.preprocess.region
        if camera is not None and region is not None:
            train_split, val_split = (seen_by(split, camera, region) for split in (train_split, val_split))
        result = train(
            loaded.module,
            train_split,
            val_split,
            loaded.spec,
            typed,
            folder,
            progress,
            resume=True,
            command=command,
        )
    return dataclasses.replace(result, notes=loaded.notes) if loaded.spec.weights else result


def _require_loss(text: str, task: str | None) -> None:
    """Raise InputError for a loss that no task has, or that needs a teacher, before the network is loaded: it
    may be what tells the task."""
    from edgeseg.training.losses import parse_loss
    from edgeseg.training.tasks import TARGETS, training_of

    names = (task,) if task else (DEFAULT_TASK, *(name for name in TARGETS.names() if name != DEFAULT_TASK))
    faults = []
    for name in names:
        try:
            loss = parse_loss(text, training_of(name))
        except InputError as fault:
            faults.append(fault)
        else:
            loss.require_teacher(there=False)
            return
    raise faults[0]
