"""Networks with random weights for `benchmarks/self_check.py`, as a user's factory."""

from __future__ import annotations

import segmentation_models_pytorch as smp
import torch
from torch import nn

KINDS = {
    "segformer-b0": lambda classes: smp.Segformer("mit_b0", encoder_weights=None, classes=classes),
    "unet++": lambda classes: smp.UnetPlusPlus("mobilenet_v2", encoder_weights=None, classes=classes),
    "deeplabv3": lambda classes: smp.DeepLabV3("mobilenet_v2", encoder_weights=None, classes=classes),
    "pspnet": lambda classes: smp.PSPNet("mobilenet_v2", encoder_weights=None, classes=classes),
    "fpn": lambda classes: smp.FPN("mobilenet_v2", encoder_weights=None, classes=classes),
    "bisenet-like": lambda classes: TwoPaths(classes),
}


class TwoPaths(nn.Module):
    """A wide shallow path and a narrow deep one, multiplied: the plan of BiSeNet (arXiv:2004.02147)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.detail = nn.Sequential(*_blocks((3, 32, 32, 64), (2, 2, 2)))
        self.semantic = nn.Sequential(*_blocks((3, 16, 32, 64, 64), (2, 2, 2, 4)))
        self.head = nn.Conv2d(64, classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        detail, semantic = self.detail(image), self.semantic(image)
        gate = nn.functional.interpolate(semantic, detail.shape[2:], mode="bilinear").sigmoid()
        return nn.functional.interpolate(self.head(detail * gate), image.shape[2:], mode="bilinear")


def _blocks(widths: tuple[int, ...], strides: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for given, wanted, stride in zip(widths, widths[1:], strides):
        layers += [
            nn.Conv2d(given, wanted, 3, stride, 1, bias=False),
            nn.BatchNorm2d(wanted),
            nn.ReLU(),
        ]
    return layers


def network(kind: str, classes: int = 8) -> nn.Module:
    """With running statistics of noise, so that activations keep their size."""
    torch.manual_seed(0)
    module = KINDS[kind](classes)
    module.train()
    with torch.no_grad():
        for _ in range(4):
            module(torch.randn(2, 3, 128, 160))
    return module.eval()
