"""Training on other frames than rgb of 8 bits."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from tiny import CLASSES, SPEC, label
from torch import nn

from edgeseg.core.frame import Frame
from edgeseg.core.preprocess import Preprocess
from edgeseg.datasets import Split
from edgeseg.training.loop import train
from edgeseg.training.settings import TrainSettings

FRAMES = ("gray:uint16:4095", "r,g,b,nir,depth:float32", "b,g,r,depth:uint16")


def split(name: str, first: int, count: int, frame: Frame) -> Split:
    """Three bands of brightness, one per class; depth shows noise alone."""

    def image(identity: str) -> np.ndarray:
        rng = np.random.default_rng(int(identity))
        bands = label(identity)[..., None] * 0.4 + rng.normal(0.08, 0.06, (24, 28, frame.channels))
        for index, channel in enumerate(frame.names):
            if channel == "depth":
                bands[..., index] = rng.random((24, 28))
        return (np.clip(bands, 0, 1) * frame.full).astype(frame.dtype)

    ids = tuple(str(first + i) for i in range(count))
    return Split("tiny", name, ids, CLASSES, 255, image, label)


@pytest.mark.parametrize("text", FRAMES)
def test_a_network_learns_on_frames_of_any_kind(tmp_path: Path, text: str):
    frame = Frame.parse(text)
    spec = msgspec.structs.replace(SPEC, preprocess=Preprocess(frame=frame, color="bgr"))
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(frame.channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 1)
    )
    settings = TrainSettings(steps=30, batch=4, lr=0.02, validate_every=30, crop=(16, 16), loss="ce+dice")
    held = [split("train", 0, 10, frame.shown), split("val", 100, 4, frame.shown)]
    result = train(module, *held, spec, settings, tmp_path, lambda *_: None, resume=True)
    assert result.card.score > 0.7
    assert result.card.preprocess.frame == frame
