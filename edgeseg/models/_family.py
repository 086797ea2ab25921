"""What a file of the zoo tells about one of its names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgeseg.core.model_spec import Option
from edgeseg.core.preprocess import Size

INITIAL_OPTIONS = ("pretrained", "encoder_weights")
"""Options that choose the first weights and not the architecture."""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One name of the zoo.

    Attributes:
        parameters: number of weights with the default options, 19 classes and 3 input channels.
        stride: both sides of the input must be divisible by it.
        input_size: (height, width) when the user states none.
        options: every keyword that `create` takes, with its default.
        create: `create(classes, channels, **options)` returns a torch module that maps float
            [N,channels,H,W] to logits [N,classes,H,W]. With options that choose first weights it is asked
            for the channels that these take, see `zoo.from_zoo`.
        instances: these are networks of instances: `create` takes `size`, (height, width) of the input, too,
            and returns a `StaticMaskRCNN`; its classes are without the background.
        shipped: weights that come with the package, loaded when the user gives none.
    """

    name: str
    description: str
    parameters: int
    stride: int = 32
    input_size: Size = (512, 512)
    options: dict[str, Option]
    create: Callable[..., Any]
    instances: bool = False
    shipped: Path | None = None

    def network(self, classes: int, channels: int, size: Size, options: Mapping[str, Option]) -> Any:
        """What `create` makes for an input of `size` (height, width)."""
        sized = {"size": size} if self.instances else {}
        return self.create(classes, channels, **sized, **options)
