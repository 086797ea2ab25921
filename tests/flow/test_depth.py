"""Colours and depth, four channels of float32, on the whole road: from a factory and from an ONNX file, with
QAT and with a plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeseg.core.frame import Frame
from edgeseg.core.recipe import Budget, DataChoice, ModelChoice, Recipe, StepChoice
from edgeseg.datasets import open_dataset
from edgeseg.evaluation.verify import verify
from edgeseg.flow.quantize import quantize
from edgeseg.flow.run import run
from edgeseg.flow.train import train
from edgeseg.runtime import load

FRAME, SIZE = Frame.parse("r,g,b,depth:float32"), (48, 64)
BUDGET = Budget(max_drop=1.0)
TOML = """
schema_version = 1
encoding = "ids"
frame = "r,g,b,depth:float32"
classes = [{ name = "ground" }, { name = "wall" }, { name = "door" }]
"""
NET = """
from torch import nn

def net(classes=3):
    return nn.Sequential(
        nn.Conv2d(4, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, classes, 1),
    )
"""
COLORS = np.array([[0.2, 0.5, 0.3], [0.8, 0.4, 0.3], [0.8, 0.4, 0.3]])
DEPTHS = np.array([0.5, 0.3, 0.7])
STEPS = {"steps": 60, "batch": 4, "lr": 0.01, "validate_every": 60, "color": 0.1, "scale": (0.9, 1.1)}


def scene(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Image [H,W,4] and label: rectangles over one another; a wall and a door differ in their depth alone."""
    label = np.zeros(SIZE, np.uint8)
    for number in (1, 2, 1, 2):
        height, width = random.integers(12, 32, 2)
        top, left = random.integers(0, SIZE[0] - 12), random.integers(0, SIZE[1] - 12)
        label[top : top + height, left : left + width] = number
    image = np.concatenate([COLORS[label], DEPTHS[label][..., None]], axis=-1)
    return np.clip(image + random.normal(0, 0.03, image.shape), 0, 1).astype(np.float32), label


@pytest.fixture(scope="module")
def road(tmp_path_factory) -> Path:
    """A folder with data, a factory, its trained weights, and the network as another exporter wrote it."""
    import torch

    from edgeseg.models.load import resolve

    folder, random = tmp_path_factory.mktemp("depth"), np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 6)):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            image, label = scene(random)
            np.save(folder / "images" / split / f"{number:02d}.npy", image)
            Image.fromarray(label).save(folder / "masks" / split / f"{number:02d}.png")
    (folder / "dataset.toml").write_text(TOML)
    (folder / "net.py").write_text(NET)
    trained = train(network(folder, "factory"), str(folder), folder / "trained", STEPS)
    assert trained.card.score > 0.85, "colours alone cannot tell a wall from a door"
    module = resolve(network(folder, "trained factory"), frame=FRAME).module.eval()
    image = torch.zeros(1, 4, *SIZE)
    torch.onnx.export(
        module, (image,), str(folder / "own.onnx"), dynamo=True, verbose=False, input_names=["image"]
    )
    return folder


def network(folder: Path, kind: str) -> ModelChoice:
    stated = {"frame": str(FRAME)}
    if kind == "onnx":
        return ModelChoice(name=str(folder / "own.onnx"), preprocess=stated)
    weights = str(folder / "trained" / "best.safetensors") if kind == "trained factory" else ""
    name = str(folder / "net.py:net")
    return ModelChoice(name=name, preprocess=stated, input_size=SIZE, weights=weights)


def recipe(folder: Path, kind: str, target: str, *steps: StepChoice) -> Recipe:
    return Recipe(
        schema_version=1,
        name="depth",
        model=network(folder, kind),
        data=DataChoice(name="folders", root=str(folder)),
        steps=steps if kind == "onnx" else (StepChoice(use="export"), *steps),
        targets=(target,),
        budget=BUDGET,
        bench=False,
    )


def require_opens(bundle: str | Path, folder: Path) -> None:
    split = open_dataset("folders", folder).split("val")
    with load(Path(bundle)) as session:
        assert session.frame == FRAME
        assert (session(split.image(0)) == split.label(0)).mean() > 0.9


@pytest.mark.parametrize("kind", ["trained factory", "onnx"])
def test_qat_keeps_the_budget(road, tmp_path, kind):
    pytest.importorskip("onnxruntime")
    quantise = StepChoice(use="quantize", settings={"images": 8})
    qat = StepChoice(use="qat", settings={"steps": 8, "batch": 4, "held_out": 4, "validate_every": 8})
    found = run(recipe(road, kind, "ort-int8", quantise, qat), road, tmp_path / "run")
    (row,) = (row for row in found.rows if row.target == "ort-int8")
    assert row.made == "engine" and found.verdict.status == "pass", found.verdict.reasons
    assert row.score > 0.85 and row.verification.drop.value <= BUDGET.max_drop
    require_opens(row.bundle, road)


@pytest.mark.parametrize("kind", ["trained factory", "onnx"])
def test_a_plan_keeps_the_budget(road, tmp_path, kind):
    pytest.importorskip("openvino")
    made = recipe(road, kind, "openvino-int8")
    quick = {"plan": {"rounds": 1, "candidates": 2}}
    (found,) = quantize(made, road, tmp_path / "bundles", calibration="6", held_out="6", settings=quick)
    assert found.kind == "engine" and found.planned.labelled and found.planned.met, found.planned.verdict
    checked = verify(Path(found.path), dataset=open_dataset("folders", road), budget=BUDGET)
    assert checked.verdict.status == "pass" and checked.value > 0.85, checked.verdict.reasons
    require_opens(found.path, road)
