"""Images of coloured rectangles that a network of three convolutions learns in a minute."""

from __future__ import annotations

import numpy as np

CLASSES = ("ground", "wall", "door")
TOML = 'schema_version = 1\nencoding = "ids"\n' + "".join(
    f'[[classes]]\nname = "{name}"\n' for name in CLASSES
)
NET = """
import torch
from torch import nn

def net(classes=3, channels=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, classes, 1),
    )
"""


def scene(
    random: np.random.Generator, size: tuple[int, int], sides: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 [H,W,3] and label uint8 [H,W]: each class in a colour of its own, with noise.

    Args:
        sides: of rectangles, from the first to below the second.
    """
    label = np.zeros(size, np.uint8)
    for number in (1, 2, 1, 2, 1, 2):
        height, width = random.integers(*sides, 2)
        top, left = random.integers(0, size[0] - sides[0]), random.integers(0, size[1] - sides[0])
        label[top : top + height, left : left + width] = number
    colours = np.array([[60, 120, 200], [130, 200, 60], [200, 60, 130]])
    image = np.clip(colours[label] + random.normal(0, 12, (*size, 3)), 0, 255)
    return image.astype(np.uint8), label
