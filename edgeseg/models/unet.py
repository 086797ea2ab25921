"""U-Net (Ronneberger et al. 2015, arXiv:1505.04597) over the encoders of SMP and timm."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from edgeseg.models._family import Family
from edgeseg.models._smp import COMMON, build

if TYPE_CHECKING:
    from torch import nn

NAMES = ("unet", "mobile-unet", "eff-unet")

_ENTRIES = {
    "unet": ("resnet34", 24_438_979, "U-Net with a ResNet-34 encoder"),
    "mobile-unet": ("mobilenet_v2", 6_631_555, "U-Net with a MobileNetV2 encoder"),
    "eff-unet": (
        "tu-tf_efficientnet_lite0",
        5_200_771,
        "U-Net with an EfficientNet-Lite0 encoder; encoder=efficientnet-b0 has swish and squeeze-excite",
    ),
}


def family(name: str) -> Family:
    encoder, parameters, description = _ENTRIES[name]
    return Family(
        name=name,
        description=description,
        parameters=parameters,
        options={"encoder": encoder, "decoder_channels": (256, 128, 64, 32, 16), **COMMON},
        create=partial(unet, encoder=encoder),
    )


def unet(
    classes: int,
    channels: int,
    *,
    encoder: str,
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32, 16),
    pretrained: bool = False,
    encoder_weights: str = "",
) -> nn.Module:
    return build(
        "Unet",
        encoder,
        classes,
        channels,
        pretrained=pretrained,
        encoder_weights=encoder_weights,
        decoder_channels=tuple(decoder_channels),
        encoder_depth=len(decoder_channels),
    )
