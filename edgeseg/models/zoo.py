"""Networks of the zoo with the user's checkpoint, the shipped weights, or none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.core.model_spec import ClassInfo, ModelSpec, Option, Source
from edgeseg.core.preprocess import Preprocess
from edgeseg.core.recipe import ModelChoice
from edgeseg.models import Family, family
from edgeseg.models._common import (
    NO_WEIGHTS,
    Loaded,
    checkpoint_of,
    postprocess_of,
    preprocess_of,
    seeded,
    settle_classes,
    weights_of,
)
from edgeseg.models._family import INITIAL_OPTIONS
from edgeseg.models.card import Card, card_of
from edgeseg.models.checkpoint import load_into
from edgeseg.models.options import checked
from edgeseg.runtime.score_map import settled_task

if TYPE_CHECKING:
    from torch import nn

ENCODER_ONLY = "only the encoder is trained: the accuracy of this network is meaningless, its latency is not"


def from_zoo(choice: ModelChoice, classes: tuple[ClassInfo, ...] | None, ignore_index: int | None) -> Loaded:
    entry = family(choice.name)
    checkpoint = checkpoint_of(choice, entry.shipped)
    file, state = (checkpoint.file, checkpoint.state) if checkpoint else (None, None)
    given = checked(entry.name, choice.options, entry.options)
    card = _card(entry, file)
    options = {**(card.options if card else {}), **given} if entry.options else given
    architecture = {k: v for k, v in options.items() if k not in INITIAL_OPTIONS}
    if classes is None and choice.classes is None and card:
        classes, ignore_index = card.classes, card.ignore_index if ignore_index is None else ignore_index
    contract = postprocess_of(choice)
    channels, classes = settle_classes(choice, classes, state, task=choice.task)
    network = seeded(lambda: entry.create(channels, **(architecture if state else options)))
    if state is not None and file is not None:
        load_into(network, state, file)
    spec = ModelSpec(
        name=entry.name,
        source=Source(kind="zoo", ref=entry.name, options={**_defaults(entry), **architecture}),
        weights=weights_of(file, choice.weights_key),
        task=settled_task(choice.task, contract, channels),
        input_size=choice.input_size or (card.input_size if card else entry.input_size),
        stride=_stride(network, entry),
        classes=classes,
        ignore_index=ignore_index,
        preprocess=preprocess_of(choice, card.preprocess if card else Preprocess()),
        postprocess=contract,
    )
    spec.check_input_size()
    notes = checkpoint.notes if checkpoint else _untrained(options)
    return Loaded(spec, network.eval(), notes=notes)


def known_contract(choice: ModelChoice) -> Preprocess:
    """The pixels a network of the zoo will be fed, by the card beside its weights, which are not read."""
    entry = family(choice.name)
    card = _card(entry, Path(choice.weights) if choice.weights else entry.shipped)
    return preprocess_of(choice, card.preprocess if card else Preprocess())


def _card(entry: Family, file: Path | None) -> Card | None:
    card = card_of(file) if file else None
    return card if card and (card.model == entry.name or file == entry.shipped) else None


def _defaults(entry: Family) -> dict[str, Option]:
    return {k: v for k, v in entry.options.items() if k not in INITIAL_OPTIONS}


def _stride(network: nn.Module, entry: Family) -> int:
    stride = getattr(getattr(network, "encoder", None), "output_stride", entry.stride)
    return int(stride)


def _untrained(options: dict[str, Option]) -> tuple[str, ...]:
    return (ENCODER_ONLY if any(options.get(k) for k in INITIAL_OPTIONS) else NO_WEIGHTS,)
