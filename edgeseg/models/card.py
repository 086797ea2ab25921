"""The JSON beside weights that edgeseg wrote: what they are and how they were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import msgspec

from edgeseg.core.bundle import file_sha256
from edgeseg.core.documents import read_json
from edgeseg.core.model_spec import DEFAULT_TASK, ClassInfo, Option
from edgeseg.core.preprocess import Preprocess, Size
from edgeseg.errors import CheckpointError


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`NAME.json` beside `NAME.safetensors`.

    Attributes:
        model: zoo name (or factory) the weights belong to; `options`: its options.
        sha256: of the weights file.
        task: what the network decides.
        metric: the figure that counts, as in `mIoU`; `score`: its value on the validation split, 0 to 1.
        class_metric: what it is the mean of; `class_scores`: per class.
        step: optimiser step the weights are from.
        data: dataset and splits, for the reader.
        settings: what the training ran with; `command`: the command line that made it.
    """

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int = 1
    model: str
    options: dict[str, Option] = {}
    sha256: str
    classes: tuple[ClassInfo, ...]
    ignore_index: int | None = None
    input_size: Size
    preprocess: Preprocess = Preprocess()
    task: str = DEFAULT_TASK
    metric: str = "mIoU"
    class_metric: str = "IoU"
    score: float
    class_scores: dict[str, float | None] = {}
    step: int = 0
    data: dict[str, str] = {}
    settings: dict[str, Any] = {}
    command: str = ""


def card_of(weights: Path) -> Card | None:
    """The card beside a weights file; None when there is none or it belongs to another file."""
    source = weights.with_suffix(".json")
    if weights.suffix != ".safetensors" or not source.is_file() or not weights.is_file():
        return None
    try:
        card = read_json(source, Card, error=CheckpointError)
    except CheckpointError:
        return None
    return card if card.sha256 == file_sha256(weights) else None
