"""Things small enough for tests: bright squares and dark bars on noise, and a Mask R-CNN for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from edgeseg.core.instances import Instances
from edgeseg.core.model_spec import ClassInfo
from edgeseg.core.recipe import ModelChoice
from edgeseg.datasets import Split
from edgeseg.models.load import Loaded, resolve
from edgeseg.training.loop import TrainResult, train
from edgeseg.training.settings import TrainSettings

CLASSES = (ClassInfo("square", (250, 0, 0)), ClassInfo("bar", (0, 250, 0)))
SIZE = (64, 96)
SMALL = {"fpn_channels": 16, "box_channels": 32, "mask_channels": "16", "proposals": 20, "detections": 10}


def network(**fields: Any) -> Loaded:
    options = {**SMALL, "anchors": "8,16,32,64"}
    choice = ModelChoice(name="maskrcnn-mobilenet", options=options, input_size=SIZE, **fields)
    return resolve(choice, classes=CLASSES)


def label(identity: str) -> Instances:
    """None in every fourth image, else one or two things."""
    number = int(identity)
    rng, masks, labels = np.random.default_rng(number), [], []
    for index in range(number % 4 and 1 + number % 2):
        kind = (number + index) % 2
        height, width = (20, 20) if kind == 0 else (8, 30)
        top, left = rng.integers(0, SIZE[0] - height), rng.integers(0, SIZE[1] - width)
        mask = np.zeros(SIZE, bool)
        mask[top : top + height, left : left + width] = True
        masks.append(mask)
        labels.append(kind)
    return things(np.array(masks, bool).reshape(-1, *SIZE), labels)


def things(masks: np.ndarray, labels: list[int], crowd: list[bool] | None = None) -> Instances:
    boxes = np.zeros((len(masks), 4), np.float32)
    for box, mask in zip(boxes, masks):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    marks = None if crowd is None else np.array(crowd, bool)
    return Instances(boxes, np.array(labels, np.int32), np.ones(len(masks), np.float32), masks, marks)


def image(identity: str) -> np.ndarray:
    pixels = np.random.default_rng(int(identity)).normal(110, 15, (*SIZE, 3))
    found = label(identity)
    assert found.masks is not None
    for mask, kind in zip(found.masks, found.labels):
        pixels[mask] = 20 if kind else 240
    return np.clip(pixels, 0, 255).astype(np.uint8)


def split(name: str, count: int) -> Split:
    ids = tuple(str(i + (100 if name == "val" else 0)) for i in range(count))
    return Split("things", name, ids, CLASSES, None, image, label, task="instance")


def fit(folder: Path, loaded: Loaded | None = None, **settings: Any) -> TrainResult:
    names = {"teacher", "features", "resume", "progress"} & settings.keys()
    given = {name: settings.pop(name) for name in names}
    defaults = {"steps": 4, "batch": 2, "lr": 2e-3, "validate_every": 2}
    chosen = msgspec.convert({**defaults, **settings}, TrainSettings)
    loaded = loaded or network()
    return train(loaded.module, split("train", 6), split("val", 3), loaded.spec, chosen, folder, **given)


def state(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "state.safetensors")
