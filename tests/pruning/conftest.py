from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))

SHAPE = (3, 16, 24)


class Everything(nn.Module):
    """Residual sum, depthwise and grouped convolution, squeeze-excite, concat, transposed convolution."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.expand = nn.Sequential(nn.Conv2d(16, 32, 1), nn.BatchNorm2d(32), nn.ReLU())
        self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.squeeze = nn.Conv2d(32, 8, 1)
        self.excite = nn.Conv2d(8, 32, 1)
        self.project = nn.Sequential(nn.Conv2d(32, 16, 1), nn.BatchNorm2d(16))
        self.down = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(32, 48, 3, padding=1, groups=4)
        self.norm = nn.GroupNorm(4, 48)
        self.up = nn.ConvTranspose2d(48, 16, 2, stride=2)
        self.merge = nn.Conv2d(32, 24, 3, padding=1)
        self.head = nn.Conv2d(24, classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        skip = self.stem(image)
        wide = self.depthwise(self.expand(skip))
        wide = wide * torch.sigmoid(self.excite(torch.relu(self.squeeze(wide.mean((2, 3), keepdim=True)))))
        skip = skip + self.project(wide)
        deep = torch.relu(self.norm(self.grouped(torch.relu(self.down(skip)))))
        return self.head(torch.relu(self.merge(torch.cat([skip, self.up(deep)], dim=1))))


@pytest.fixture
def network() -> Everything:
    torch.manual_seed(0)
    module = Everything().eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.1, 2.0)
    return module


@pytest.fixture
def shape() -> tuple[int, int, int]:
    return SHAPE
