"""Six kinds of camera: labelled images of each, and a network that takes them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from edgeseg.core.frame import Frame
from edgeseg.core.recipe import DataChoice

SIZE = (64, 96)
CLASSES = ("ground", "wall", "door")
LEVELS = np.array([0.2, 0.5, 0.8])
NET = """
from torch import nn

def net(channels=3, classes=3):
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, classes, 1),
    )
"""
TOML = 'schema_version = 1\nencoding = "ids"\n'


class Camera(NamedTuple):
    """
    Attributes:
        frame: as `Frame.parse` reads it.
        stated: whether a user has to state it: more than three channels have names of their own.
        suffix: of its images.
    """

    frame: str
    stated: bool
    suffix: str


CAMERAS = {
    "grey 8": Camera("gray", False, ".png"),
    "grey 16": Camera("gray:uint16", False, ".png"),
    "RGB 8": Camera("rgb", False, ".png"),
    "RGB 16": Camera("rgb:uint16", False, ".png"),
    "RGB + depth float32": Camera("r,g,b,depth:float32", True, ".npy"),
    "five channels": Camera("5", False, ".npy"),
}


def scene(random: np.random.Generator, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Rectangles of three classes: each channel shows each class at another level, with noise. Image [H,W,C]
    and label uint8 [H,W]."""
    label = np.zeros(SIZE, np.uint8)
    for number in (1, 2, 1, 2):
        height, width = random.integers(14, 40, 2)
        top, left = random.integers(0, SIZE[0] - 14), random.integers(0, SIZE[1] - 14)
        label[top : top + height, left : left + width] = number
    levels = np.stack([np.roll(LEVELS, shift)[label] for shift in range(frame.channels)], axis=-1)
    image = np.clip(levels + random.normal(0, 0.04, levels.shape), 0, 1) * frame.full
    return (image if frame.dtype == "float32" else np.rint(image)).astype(frame.dtype), label


def write_data(folder: Path, camera: Camera) -> DataChoice:
    frame, random = Frame.parse(camera.frame), np.random.default_rng(0)
    classes = "".join(f'[[classes]]\nname = "{name}"\n' for name in CLASSES)
    folder.mkdir()
    (folder / "dataset.toml").write_text(TOML + classes)
    for split, count in (("train", 12), ("val", 6)):
        images, masks = folder / "images" / split, folder / "masks" / split
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for number in range(count):
            image, label = scene(random, frame)
            write_image(images / f"{number:02d}{camera.suffix}", image)
            Image.fromarray(label).save(masks / f"{number:02d}.png")
    return DataChoice(name="folders", root=str(folder))


def write_image(path: Path, image: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, image)
    else:
        import cv2

        assert cv2.imwrite(str(path), image[..., ::-1])
