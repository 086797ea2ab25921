"""The zoo as data, for listings: no network is built and torch is not imported."""

from __future__ import annotations

import msgspec

from edgeseg.core.model_spec import Option
from edgeseg.core.preprocess import Size
from edgeseg.models import MODELS, family


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One name of the zoo.

    Attributes:
        parameters: number of weights with the default options and 19 classes.
        input_size: (height, width) when none is given.
        shipped_weights: trained weights come with the package.
    """

    name: str
    description: str
    parameters: int
    stride: int
    input_size: Size
    options: dict[str, Option]
    shipped_weights: bool


def models() -> tuple[ModelInfo, ...]:
    """Every registered name."""
    return tuple(_info(name) for name in MODELS.names())


def _info(name: str) -> ModelInfo:
    entry = family(name)
    return ModelInfo(
        name=entry.name,
        description=entry.description,
        parameters=entry.parameters,
        stride=entry.stride,
        input_size=entry.input_size,
        options=entry.options,
        shipped_weights=entry.shipped is not None,
    )
