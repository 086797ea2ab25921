"""A training small enough for tests: `python tiny.py FOLDER [--resume] [setting=value ...]`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import torch
from accelerate import PartialState
from torch import nn

from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.datasets import Split
from edgeseg.training.loop import TrainResult, train
from edgeseg.training.settings import TrainSettings

CLASSES = default_classes(3)
SPEC = ModelSpec(name="tiny", source=Source(kind="zoo", ref="tiny"), input_size=(32, 32), classes=CLASSES)


def image(identity: str) -> np.ndarray:
    """Noise over three bands of brightness, one per class."""
    rng = np.random.default_rng(int(identity))
    return np.clip(label(identity)[..., None] * 100.0 + rng.normal(20, 15, (24, 28, 3)), 0, 255).astype(
        np.uint8
    )


def label(identity: str) -> np.ndarray:
    rows = np.arange(24)[:, None] + int(identity) % 5
    return np.broadcast_to(np.minimum(rows // 9, 2), (24, 28)).astype(np.uint8)


def split(name: str, count: int) -> Split:
    first = 100 if name == "val" else 0
    ids = tuple(str(first + i) for i in range(count))
    return Split("tiny", name, ids, CLASSES, 255, image, label)


def network(norm: bool = True) -> nn.Module:
    torch.manual_seed(0)
    middle = nn.BatchNorm2d(8) if norm else nn.Identity()
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), middle, nn.ReLU(), nn.Dropout2d(0.1 * norm), nn.Conv2d(8, 3, 1)
    )


def fit(
    folder: Path, *, norm: bool = True, resume: bool = False, slow: float = 0.0, **settings: object
) -> TrainResult:
    """Train; with `slow`, wait that many seconds after every step, to be killed in time."""

    def wait(message: str, done: int = 0, total: int = 0) -> None:
        time.sleep(slow)

    defaults = {"steps": 12, "batch": 4, "lr": 0.02, "validate_every": 3, "crop": (16, 16), "average": "ema"}
    chosen = msgspec.convert({**defaults, **settings}, TrainSettings)
    return train(
        network(norm), split("train", 10), split("val", 4), SPEC, chosen, folder, wait, resume=resume
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    words = dict(word.split("=") for word in sys.argv[2:] if "=" in word)
    values = {k: msgspec.json.decode(v) if v[0] in "0123456789tf" else v for k, v in words.items()}
    fit(Path(sys.argv[1]), resume="--resume" in sys.argv, **values)
    sys.stdout.write(f"process {PartialState().process_index} of {PartialState().num_processes}\n")
