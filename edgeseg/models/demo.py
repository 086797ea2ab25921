"""The demo network: a narrow mobile-unet trained on synthetic-streets, weights in the package.

`weights/demo.json` holds the command that made them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.models._family import Family
from edgeseg.models.unet import unet

if TYPE_CHECKING:
    from torch import nn

NAMES = ("demo",)

ENCODER = "tu-mobilenetv2_050"
DECODER_CHANNELS = (96, 48, 32, 16, 16)
WEIGHTS = Path(__file__).parent / "weights" / "demo.safetensors"


def family(name: str) -> Family:
    return Family(
        name=name,
        description="narrow mobile-unet trained on synthetic-streets, weights included",
        parameters=856_003,
        input_size=(256, 320),
        options={},
        create=demo,
        shipped=WEIGHTS,
    )


def demo(classes: int, channels: int) -> nn.Module:
    """The architecture; `load.resolve` adds the shipped weights."""
    return unet(classes, channels, encoder=ENCODER, decoder_channels=DECODER_CHANNELS)
