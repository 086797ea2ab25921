"""A network of 29 overlapping classes on grey frames of 16 bits, on the whole road: train, export, verify,
quantise, QAT, predict."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgeseg.core.frame import Frame
from edgeseg.core.recipe import Budget, DataChoice, ModelChoice, Recipe, StepChoice
from edgeseg.datasets import open_dataset
from edgeseg.evaluation.verify import verify
from edgeseg.flow.quantize import quantize
from edgeseg.flow.run import run
from edgeseg.prediction.predict import predict
from edgeseg.runtime import BitMasks, load
from edgeseg.runtime.tasks.multilabel import packed, unpacked

CLASSES, SIZE = 29, (32, 48)
NET = """
import torch
from torch import nn

def net(classes=29):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, classes, 1),
    )
"""


LEVELS = np.linspace(0.2, 0.8, CLASSES)


def scene(rng):
    """A picture uint16 [H,W] and its classes: class c is where the light is above a level of its own, so the
    hills of one lie inside those of another."""
    base = rng.uniform(0, 1, (5, 7)).astype(np.float32)
    light = Image.fromarray(base).resize((SIZE[1], SIZE[0]), Image.Resampling.BILINEAR)
    image = np.rint(np.asarray(light) * 65535).astype(np.uint16)
    return image, packed(image[..., None] > LEVELS * 65535)


def best_constant(road) -> float:
    """Mean Dice of the better of two answers for each class: everywhere, or nowhere."""
    split = open_dataset("folders", road).split("val")
    labels = np.stack([unpacked(split.label(i), CLASSES) for i in range(len(split))])
    share = labels.mean(axis=(0, 1, 2))
    return float((2 * share / (1 + share)).mean())


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    folder = tmp_path_factory.mktemp("road")
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 6)):
        for name in ("images", "masks"):
            (folder / name / split).mkdir(parents=True)
        for index in range(count):
            image, label = scene(rng)
            Image.fromarray(image).save(folder / "images" / split / f"{index}.png")
            np.save(folder / "masks" / split / f"{index}.npy", label)
    entries = "\n".join(f'[[classes]]\nname = "c{i}"' for i in range(CLASSES))
    (folder / "dataset.toml").write_text(f'schema_version = 1\nencoding = "bits"\n{entries}\n')
    (folder / "net.py").write_text(NET)
    return folder


def recipe(road, *targets, steps=(), **fields):
    return Recipe(
        schema_version=1,
        name="bits",
        model=ModelChoice(name=str(road / "net.py:net"), input_size=SIZE, task="multilabel"),
        data=DataChoice(name="folders", root=str(road)),
        steps=steps,
        targets=targets,
        bench=False,
        **fields,
    )


TRAIN = StepChoice(use="train", settings={"steps": 150, "batch": 8, "lr": 0.02, "validate_every": 75})
EXPORT = StepChoice(use="export")


@pytest.mark.parametrize("engine", ["openvino", "ort"])
def test_from_labels_to_int8_engines(road, tmp_path, engine):
    pytest.importorskip("openvino")
    qat = StepChoice(use="qat", settings={"steps": 8, "batch": 4, "held_out": 4, "validate_every": 8})
    tune = StepChoice(use="thresholds", settings={"held_out": 6})
    steps = (TRAIN, EXPORT, tune, StepChoice(use="quantize", settings={"images": 8}), qat)
    budget = Budget(max_drop=20.0, max_class_drop={"c3": 40.0})
    made = recipe(road, f"{engine}-fp32", f"{engine}-int8", steps=steps, budget=budget)
    found = run(made, road, tmp_path / "run")
    assert (found.metric, found.verdict.status) == ("mean Dice", "pass")
    scores = {row.target: row.verification for row in found.rows if row.verification}
    assert scores[f"{engine}-fp32"].agreement.pixels > 0.999
    assert scores[f"{engine}-fp32"].value > best_constant(road) + 0.2
    assert scores[f"{engine}-int8"].value > 0.8 and len(scores[f"{engine}-int8"].engine.classes) == CLASSES
    (int8,) = (row for row in found.rows if row.target == f"{engine}-int8")
    assert any(note.startswith("QAT, 8 steps: mean Dice") for note in found_notes(int8))
    reasons = [reason for row in found.rows for reason in row.verdict.reasons]
    assert any(reason.startswith("mean Dice drops") for reason in reasons)
    with load(int8.bundle) as session:
        thresholds = session.spec.postprocess.threshold
        assert len(thresholds) == CLASSES and len(set(thresholds)) > 1
        assert session.frame == Frame(order="gray", dtype="uint16")
        frame = open_dataset("folders", road).split("val").image(0)
        result = session.predict(frame)
        assert isinstance(result, BitMasks) and result.bit_masks.shape == (*SIZE, 4)
        assert np.array_equal(result.mask(9), session(frame)[..., 1] >> 1 & 1)


def found_notes(row):
    from edgeseg.core.bundle import Bundle

    return Bundle.open(row.bundle).manifest.notes


def test_a_plan_is_chosen_by_mean_dice(road, tmp_path):
    pytest.importorskip("openvino")
    made = recipe(road, "openvino-int8", steps=(TRAIN, EXPORT), budget=Budget(max_drop=20.0))
    (found,) = quantize(made, road, tmp_path / "bundles", calibration="6", held_out="6")
    assert found.planned.metric == "mean Dice" and found.planned.labelled and found.planned.met
    assert all(plan.drop is None or plan.drop <= 20 for plan in found.planned.plans if plan.chosen)
    checked = verify(found.path, dataset=open_dataset("folders", road), output=tmp_path / "worst", worst=2)
    assert checked.metric == "mean Dice" and len(list((tmp_path / "worst").glob("*.png"))) == 2
    predicted = predict(found.path, road / "images" / "val", tmp_path / "masks")
    mask = np.load(tmp_path / "masks" / predicted.results[0].mask)
    assert mask.shape == (*SIZE, 4) and set(predicted.results[0].fractions) == {
        f"c{i}" for i in range(CLASSES)
    }
