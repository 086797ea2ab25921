"""Parents for the steps, and a way to run one step by itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeseg.core.bundle import Bundle
from edgeseg.core.drafts import draft
from edgeseg.core.model_spec import default_classes
from edgeseg.core.recipe import ModelChoice
from edgeseg.flow.data import Data
from edgeseg.flow.load import load
from edgeseg.steps import STEPS, Context, Frames

sys.path.insert(0, str(Path(__file__).parent))  # for noise_data, in every import mode of pytest

SIZE = (32, 48)
NETWORK = """
from torch import nn

def net(classes=3, gain=1.0, activation="ReLU"):
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        getattr(nn, activation)(),
        nn.Conv2d(8, classes, 1),
    )
    nn.init.normal_(network[3].weight, std=0.5)
    network[3].weight.data *= gain
    return network.eval()
"""


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)


@pytest.fixture
def torch_bundle(tmp_path) -> Callable[..., Bundle]:
    """A user's network as a bundle of kind `torch`; `gain` multiplies its logits."""

    def make(gain: float = 1.0, activation: str = "ReLU") -> Bundle:
        (tmp_path / "net.py").write_text(NETWORK)
        options = {"gain": gain, "activation": activation}
        choice = ModelChoice(name=f"{tmp_path}/net.py:net", input_size=SIZE, options=options)
        data = Data(dataset=None, classes=default_classes(3), ignore_index=None, frame_size=None)
        destination = tmp_path / f"torch-{gain}"
        with draft(destination) as work:
            work.finish(load(choice, data, work, trust_file=True))
        return Bundle.open(destination)

    return make


@pytest.fixture
def run_step(tmp_path) -> Callable[..., Bundle]:
    """(name, parent, kind of the frames, data, settings) -> the child."""

    def call(
        name: str, parent: Bundle, *, frames: str = "synthetic", data: object = None, **settings: object
    ) -> Bundle:
        step = STEPS.load(name).step(name)
        assert parent.manifest.kind in step.accepts
        given = {k: v for k, v in parent.manifest.model.source.options.items() if k != "classes"}
        context = Context(
            camera_size=SIZE,
            frames=Frames(frames, noise),
            work=tmp_path / "work",
            cache=tmp_path / "cache",
            dataset=data,
            trusted=ModelChoice(name=f"{tmp_path}/net.py:net", options=given),
        )
        destination = tmp_path / f"{name}-{'-'.join(map(str, settings.values()))}-{frames}"
        with draft(destination) as work:
            work.finish(step.run(parent, msgspec.convert(settings, step.settings), work, context))
        return Bundle.open(destination)

    return call
