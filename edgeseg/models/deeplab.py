"""DeepLabV3+ (Chen et al. 2018, arXiv:1802.02611) with light encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.models._family import Family
from edgeseg.models._smp import COMMON, build

if TYPE_CHECKING:
    from torch import nn

NAMES = ("deeplabv3plus-mobile",)


def family(name: str) -> Family:
    return Family(
        name=name,
        description="DeepLabV3+ with a MobileNetV2 encoder, output stride 16",
        parameters=4_383_139,
        stride=16,
        options={"encoder": "mobilenet_v2", "decoder_channels": 256, **COMMON},
        create=deeplabv3plus,
    )


def deeplabv3plus(
    classes: int,
    channels: int,
    *,
    encoder: str = "mobilenet_v2",
    decoder_channels: int = 256,
    pretrained: bool = False,
    encoder_weights: str = "",
) -> nn.Module:
    return build(
        "DeepLabV3Plus",
        encoder,
        classes,
        channels,
        pretrained=pretrained,
        encoder_weights=encoder_weights,
        decoder_channels=decoder_channels,
    )
