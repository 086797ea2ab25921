"""Building segmentation-models-pytorch networks, with errors a user can act on."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.core.model_spec import Option
from edgeseg.errors import MissingDependency, ModelError
from edgeseg.models.checkpoint import load_into, read_state_dict

if TYPE_CHECKING:
    from torch import nn

COMMON: dict[str, Option] = {"pretrained": False, "encoder_weights": ""}
"""Options of every SMP family: ImageNet weights by download, or from a local encoder file."""


def build(
    kind: str,
    encoder: str,
    classes: int,
    channels: int,
    *,
    pretrained: bool,
    encoder_weights: str,
    **arguments: Any,
) -> nn.Module:
    """`segmentation_models_pytorch.<kind>(encoder, classes=..., in_channels=..., ...)`.

    Raises:
        ModelError: unknown encoder, settings the network refuses, or no download.
        CheckpointError: the encoder file does not fit.
    """
    smp = _import_smp()
    if pretrained and encoder_weights:
        raise ModelError(
            f"both pretrained=true and encoder_weights={encoder_weights} were given",
            hint="give one of the two",
        )
    _check_encoder(smp, encoder)
    try:
        network = getattr(smp, kind)(
            encoder,
            encoder_weights="imagenet" if pretrained else None,
            classes=classes,
            in_channels=channels,
            **arguments,
        )
    except OSError as fault:
        raise ModelError(
            f"the ImageNet weights of '{encoder}' could not be downloaded: {fault}",
            hint="give a local file with the option encoder_weights=FILE",
        ) from fault
    except (KeyError, ValueError, RuntimeError, TypeError) as fault:
        raise ModelError(
            f"{kind} with encoder '{encoder}' and {arguments} cannot be built: {fault}"
        ) from fault
    if encoder_weights:
        load_into(network.encoder, read_state_dict(Path(encoder_weights)), encoder_weights, ignore_extra=True)
    built: nn.Module = network
    return built


def _import_smp() -> Any:
    try:
        import segmentation_models_pytorch
    except ModuleNotFoundError as fault:
        raise MissingDependency(
            fault.name or "segmentation-models-pytorch", "train", needed_for="building a network of the zoo"
        ) from fault
    return segmentation_models_pytorch


def _check_encoder(smp: Any, encoder: str) -> None:
    known = smp.encoders.get_encoder_names()
    if encoder in known:
        return
    if encoder.startswith("tu-"):
        import timm

        known = [f"tu-{name}" for name in timm.list_models()]
        if encoder.partition(".")[0] in known:
            return
    close = difflib.get_close_matches(encoder, known, n=3, cutoff=0.5)
    raise ModelError(
        f"there is no encoder '{encoder}'",
        expected="an encoder of segmentation-models-pytorch, or tu- and the name of a timm model",
        hint=f"did you mean {', '.join(close)}?" if close else "",
    )
