"""Networks of the zoo with the user's checkpoint, the shipped weights, or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.core.frame import COLORS, Frame
from edgeseg.core.model_spec import ClassInfo, ModelSpec, Option, Source
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess, assumed_frame
from edgeseg.core.recipe import ModelChoice
from edgeseg.models import Family, family
from edgeseg.models._common import (
    DEFAULT_CLASS_COUNT,
    NO_WEIGHTS,
    Held,
    Loaded,
    checkpoint_of,
    postprocess_of,
    seeded,
    settle_classes,
    weights_of,
)
from edgeseg.models._family import INITIAL_OPTIONS
from edgeseg.models.card import Card, card_of
from edgeseg.models.checkpoint import aligned, head_channels, load_into, read_state_dict
from edgeseg.models.first_convolution import channels_taken, fitted
from edgeseg.models.framing import preprocess_of, stated_frame
from edgeseg.models.instances import instance_classes, require_instances, returning
from edgeseg.models.options import checked
from edgeseg.runtime.score_map import settled_task

if TYPE_CHECKING:
    from torch import nn

    from edgeseg.models.checkpoint import State

ENCODER_ONLY = "only the encoder is trained: the accuracy of this network is meaningless, its latency is not"


def from_zoo(choice: ModelChoice, held: Held) -> Loaded:
    """See `load.resolve`. Weights that take another number of channels than the frames have are adapted to
    frames that the user states; an encoder's, which will be trained on, to those of the data too."""
    entry = family(choice.name)
    checkpoint = checkpoint_of(choice, entry.shipped)
    file, state = (checkpoint.file, checkpoint.state) if checkpoint else (None, None)
    given = checked(entry.name, choice.options, entry.options)
    card = _card(entry, file)
    options = {**(card.options if card else {}), **given} if entry.options else given
    architecture = _architecture(options)
    classes, ignore_index = held.classes, held.ignore_index
    if classes is None and choice.classes is None and card:
        classes, ignore_index = card.classes, card.ignore_index if ignore_index is None else ignore_index
    size = choice.input_size or (card.input_size if card else entry.input_size)
    contract = postprocess_of(choice)
    task, scores, classes = _decided(entry, choice, contract, classes, state)

    def create(channels: int, chosen: dict[str, Option]) -> nn.Module:
        return seeded(lambda: entry.network(scores, channels, size, chosen))

    known = _known_frame(choice, card)
    frame = known or held.frame or Frame()
    network = create(frame.channels, architecture)
    if state is not None and file is not None:
        state = aligned(network, state, file)
        takes = channels_taken(network, frame.channels, state) or frame.channels
        if known is None and takes != frame.channels:
            frame = Frame.fitting(takes, held.frame)
            network = create(takes, architecture)
    pixels = preprocess_of(choice, card.preprocess if card else Preprocess(), frame)
    if checkpoint and state is not None:
        state, notes = fitted(network, state, pixels, card.preprocess.names if card else ())
        load_into(network, state, checkpoint.file)
        notes = (*checkpoint.notes, *notes)
    else:
        network, notes = _begun(network, create, options, pixels)
    spec = ModelSpec(
        name=entry.name,
        source=Source(kind="zoo", ref=entry.name, options={**_architecture(entry.options), **architecture}),
        weights=weights_of(file, choice.weights_key),
        task=task,
        input_size=size,
        stride=_stride(network, entry),
        classes=classes,
        ignore_index=ignore_index,
        preprocess=pixels,
        postprocess=returning(contract, network) if entry.instances else contract,
    )
    spec.check_input_size()
    if known is None:
        notes = (*notes, *assumed_frame(choice.preprocess, pixels))
    return Loaded(spec, network.eval(), notes=notes)


def _decided(
    entry: Family,
    choice: ModelChoice,
    contract: Postprocess,
    classes: tuple[ClassInfo, ...] | None,
    state: State | None,
) -> tuple[str, int, tuple[ClassInfo, ...]]:
    """The task, how many scores the network has, and the classes."""
    if entry.instances:
        task = require_instances(choice.task, entry.name)
        stored = head_channels(state) if state else None
        classes = instance_classes(choice, classes, stored, DEFAULT_CLASS_COUNT)
        return task, len(classes), classes
    scores, classes = settle_classes(choice, classes, state, task=choice.task)
    return settled_task(choice.task, contract, scores), scores, classes


def known_contract(choice: ModelChoice, frame: Frame | None = None) -> Preprocess:
    """The pixels a network of the zoo will be fed, by the card beside its weights, which are not read.

    Args:
        frame: what the images of the data are.
    """
    entry = family(choice.name)
    card = _card(entry, Path(choice.weights) if choice.weights else entry.shipped)
    known = _known_frame(choice, card)
    return preprocess_of(choice, card.preprocess if card else Preprocess(), known or frame)


def _known_frame(choice: ModelChoice, card: Card | None) -> Frame | None:
    """What is stated, else that of the card."""
    return stated_frame(choice) or (card.preprocess.frame if card else None)


def _begun(
    network: nn.Module,
    create: Callable[[int, dict[str, Option]], nn.Module],
    options: dict[str, Option],
    pixels: Preprocess,
) -> tuple[nn.Module, tuple[str, ...]]:
    """A network that is not trained, or whose encoder alone is, and what to know about it.

    Args:
        network: with random weights; `create`: another for so many channels, with these options.
    """
    if not any(options.get(name) for name in INITIAL_OPTIONS):
        return network, (NO_WEIGHTS,)
    takes = _encoder_channels(network, options, pixels.channels)
    begun = create(takes, options)
    if takes == pixels.channels:
        return begun, (ENCODER_ONLY,)
    state, notes = fitted(network, begun.state_dict(), pixels, COLORS)
    load_into(network, state, str(options.get("encoder_weights") or "the trained encoder"))
    return network, (ENCODER_ONLY, *notes)


def _encoder_channels(network: Any, options: dict[str, Option], channels: int) -> int:
    """Input channels of the trained encoder that the options choose."""
    file = options.get("encoder_weights")
    if options.get("pretrained") or not file:
        return len(COLORS)
    encoder = getattr(network, "encoder", network)
    state = aligned(encoder, read_state_dict(Path(str(file))), str(file))
    return channels_taken(encoder, channels, state) or len(COLORS)


def _card(entry: Family, file: Path | None) -> Card | None:
    card = card_of(file) if file else None
    return card if card and (card.model == entry.name or file == entry.shipped) else None


def _architecture(options: dict[str, Option]) -> dict[str, Option]:
    return {k: v for k, v in options.items() if k not in INITIAL_OPTIONS}


def _stride(network: nn.Module, entry: Family) -> int:
    stride = getattr(getattr(network, "encoder", None), "output_stride", entry.stride)
    return int(stride)
