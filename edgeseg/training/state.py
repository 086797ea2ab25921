"""The state of a training on disk: one safetensors file, replaced whole, from which a killed run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import msgspec
import torch
from torch import nn
from torch.optim import Optimizer

from edgeseg.core.documents import convert
from edgeseg.errors import CheckpointError, InputError
from edgeseg.models.checkpoint import write_tensors
from edgeseg.training.settings import TrainSettings

STATE = "state.safetensors"
Tensors = dict[str, torch.Tensor]


class Validation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """mIoU (0 to 1) after a number of optimiser steps."""

    step: int
    miou: float


class Journal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the state file says besides tensors.

    Attributes:
        step: optimiser steps done.
        best: validation whose weights are in `best.safetensors`.
        images: of the training split.
        scaler: state of the fp16 loss scaler.
    """

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int = 1
    step: int
    best: Validation
    history: tuple[Validation, ...]
    settings: TrainSettings
    images: int
    scaler: dict[str, float] = {}


def save_state(
    folder: Path,
    journal: Journal,
    module: nn.Module,
    average: Tensors,
    optimizer: Optimizer,
) -> None:
    """Replace the state file. A kill at any moment leaves the old one or the new one."""
    tensors = {f"model/{k}": v for k, v in module.state_dict().items()}
    tensors |= {f"average/{k}": v for k, v in average.items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{k}": v for k, v in slots.items() if isinstance(v, torch.Tensor)}
    copies = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
    write_tensors(folder / STATE, copies, {"journal": msgspec.json.encode(journal).decode()})


def read_state(folder: Path) -> tuple[Journal, Tensors] | None:
    """The saved state, or None when there is none.

    Raises:
        CheckpointError: the file is broken or of another version.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / STATE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            data = msgspec.json.decode((file.metadata() or {}).get("journal", "{}"))
    except (SafetensorError, OSError, msgspec.DecodeError) as fault:
        raise CheckpointError(f"{path} is broken: {fault}", hint="remove it to start again") from fault
    return convert(data, Journal, where=str(path), error=CheckpointError), tensors


def require_same(journal: Journal, settings: TrainSettings, images: int, folder: Path) -> None:
    """Raise InputError when a training is resumed with other settings, naming the first that differs."""
    now = {**msgspec.structs.asdict(settings), "images": images}
    then = {**msgspec.structs.asdict(journal.settings), "images": journal.images}
    for name, value in then.items():
        if name != "workers" and now[name] != value:
            raise InputError(
                f"the training in {folder} has {name} {value}, now it is {now[name]}",
                expected="the settings it was started with",
                hint="resume with those, or choose another --output",
            )


def restore(tensors: Tensors, module: nn.Module, average: Tensors, optimizer: Optimizer) -> None:
    """Put saved tensors back into the network, the averaged weights and the optimiser.

    Raises:
        CheckpointError: the state belongs to another network.
    """
    part = _part(tensors, "model/")
    own = module.state_dict()
    if part.keys() != own.keys() or any(part[k].shape != own[k].shape for k in part):
        raise CheckpointError(
            "the saved training is of another network",
            hint="resume with the --model and --option it was started with",
        )
    module.load_state_dict(part)
    for name, value in _part(tensors, "average/").items():
        average[name].copy_(value)
    slots: dict[int, dict[str, Any]] = {}
    for name, value in _part(tensors, "optimizer/").items():
        index, _, key = name.partition("/")
        slots.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})


def _part(tensors: Tensors, prefix: str) -> Tensors:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
