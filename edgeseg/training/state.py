"""The state of a training on disk: one safetensors file, replaced whole, from which a killed run goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import torch
from torch import nn
from torch.optim import Optimizer

from edgeseg.core.documents import convert
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Progress, silent
from edgeseg.datasets import Split
from edgeseg.errors import CheckpointError, InputError
from edgeseg.models.checkpoint import write_tensors
from edgeseg.training.settings import TrainSettings

STATE = "state.safetensors"
Tensors = dict[str, torch.Tensor]


class Validation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The metric of the task (0 to 1) after a number of optimiser steps."""

    step: int
    score: float


class Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decides the result of a training besides its settings.

    Attributes:
        training, validation: data and number of images of the split; `_sha256`: of pixels and labels.
        network: its specification, without the name of a weights file.
        weights_sha256: of the weights it started from.
        features: inner maps that are compared with a teacher's.
    """

    training: str
    training_sha256: str
    validation: str
    validation_sha256: str
    network: ModelSpec
    weights_sha256: str
    features: tuple[str, ...] = ()


def origin_of(
    module: nn.Module,
    train: Split,
    val: Split,
    spec: ModelSpec,
    features: Sequence[str] = (),
    progress: Progress = silent,
) -> Origin:
    """Reads every image and label once."""
    return Origin(
        training=f"{train.dataset}/{train.name}, {len(train)} images",
        training_sha256=train.fingerprint(progress),
        validation=f"{val.dataset}/{val.name}, {len(val)} images",
        validation_sha256=val.fingerprint(progress),
        network=msgspec.structs.replace(spec, weights=None),
        weights_sha256=_weights_sha256(module),
        features=tuple(features),
    )


def _weights_sha256(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class Journal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the state file says besides tensors.

    Attributes:
        step: optimiser steps done.
        best: validation whose weights are in `best.safetensors`.
        origin: what was trained, on what, from which weights.
        scaler: state of the fp16 loss scaler.
    """

    SCHEMA_VERSION: ClassVar[int] = 2

    schema_version: int = 2
    step: int
    best: Validation
    history: tuple[Validation, ...]
    settings: TrainSettings
    origin: Origin
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


def require_same(journal: Journal, settings: TrainSettings, origin: Origin, folder: Path) -> None:
    """Raise InputError when another training is resumed, naming the first thing that differs."""
    now, then = (_flat(s, o) for s, o in ((settings, origin), (journal.settings, journal.origin)))
    for name, value in then.items():
        if name not in ("workers", "track") and now[name] != value:
            raise InputError(
                f"the training in {folder} has {name} {value}, now it is {now[name]}",
                expected="the network, weights, data and settings it was started with",
                hint="resume with those, or choose another --output",
            )


def _flat(settings: TrainSettings, origin: Origin) -> dict[str, Any]:
    network = {f"network {k}": v for k, v in msgspec.structs.asdict(origin.network).items()}
    others = {k: v for k, v in msgspec.structs.asdict(origin).items() if k != "network"}
    return {**msgspec.structs.asdict(settings), **network, **others}


def restore(tensors: Tensors, module: nn.Module, average: Tensors, optimizer: Optimizer) -> None:
    """Put saved tensors back into the network, the averaged weights and the optimiser."""
    module.load_state_dict(_part(tensors, "model/"))
    for name, value in _part(tensors, "average/").items():
        average[name].copy_(value)
    slots: dict[int, dict[str, Any]] = {}
    for name, value in _part(tensors, "optimizer/").items():
        index, _, key = name.partition("/")
        slots.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})


def _part(tensors: Tensors, prefix: str) -> Tensors:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
