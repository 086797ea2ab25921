"""What a training leaves behind: the best weights with their card, and TensorBoard scalars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import torch

from edgeseg.core.bundle import file_sha256
from edgeseg.core.documents import write_document
from edgeseg.core.model_spec import ModelSpec
from edgeseg.metrics.tasks import metric_of
from edgeseg.models.card import Card
from edgeseg.models.checkpoint import stored, write_safetensors
from edgeseg.training.settings import TrainSettings
from edgeseg.training.state import Validation


def write_best(
    folder: Path,
    module: torch.nn.Module,
    spec: ModelSpec,
    validation: Validation,
    class_scores: Mapping[str, float],
    data: dict[str, str],
    settings: TrainSettings,
    command: str,
) -> Card:
    """Replace `best.safetensors` and `best.json`."""
    weights = folder / "best.safetensors"
    write_safetensors(weights, module, half=settings.half)
    metric = metric_of(spec)
    card = Card(
        model=spec.source.ref,
        options=spec.source.options,
        sha256=file_sha256(weights),
        classes=spec.classes,
        ignore_index=spec.ignore_index,
        input_size=spec.input_size,
        preprocess=spec.preprocess,
        task=spec.task,
        metric=metric.metric,
        class_metric=metric.class_metric,
        score=validation.score,
        class_scores={name: value if value == value else None for name, value in class_scores.items()},
        step=validation.step,
        data=data,
        settings=msgspec.to_builtins(settings),
        command=command,
    )
    write_document(folder / "best.json", card)
    return card


def round_to_half(module: torch.nn.Module) -> None:
    """Give the weights the values they have after `write_safetensors(..., half=True)`."""
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.copy_(stored(tensor, half=True))
