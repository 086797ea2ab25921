"""A network of 29 overlapping classes on grey frames of 16 bits, on the whole road: train, export, verify,
quantise, QAT, predict."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from PIL import Image, ImageDraw

from edgeseg.core.bundle import Bundle
from edgeseg.core.frame import Frame
from edgeseg.core.recipe import Budget, DataChoice, ModelChoice, Recipe, StepChoice
from edgeseg.datasets import open_dataset
from edgeseg.evaluation.scoring import Tally
from edgeseg.evaluation.verify import verify
from edgeseg.flow.quantize import quantize
from edgeseg.flow.run import run
from edgeseg.graph.golden import outputs_of
from edgeseg.graph.info import graph_info
from edgeseg.graph.widen import widened
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
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 32, 1), nn.ReLU(), nn.Conv2d(32, classes, 1),
    )
"""


LEVELS = np.linspace(0.1, 0.9, CLASSES)
REACH, NOISE = 0.1, 0.01
"""How far from its level the light of a class may be, so that a pixel has about seven; and what the camera
adds to it."""


def scene(rng):
    """A picture uint16 [H,W] and its classes: ellipses and polygons of any place and light, over one another.
    A class is where the light that was painted is near a level of its own."""
    picture = Image.new("F", (SIZE[1], SIZE[0]), float(rng.uniform()))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(8, 14))):
        (y, x), (down, across), light = rng.uniform(0, SIZE), rng.uniform(4, 14, 2), float(rng.uniform())
        if rng.random() < 0.5:
            draw.ellipse((x - across, y - down, x + across, y + down), fill=light)
        else:
            turns = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
            corners = zip(x + across * np.cos(turns), y + down * np.sin(turns))
            draw.polygon([(float(a), float(b)) for a, b in corners], fill=light)
    painted = np.asarray(picture)
    seen = np.clip(painted + rng.normal(0, NOISE, SIZE), 0, 1)
    return np.rint(seen * 65535).astype(np.uint16), packed(np.abs(painted[..., None] - LEVELS) < REACH)


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


TRAIN = StepChoice(
    use="train",
    settings={"steps": 200, "batch": 8, "lr": 0.02, "validate_every": 100, "color": 0.0, "scale": (1.0, 1.0)},
)
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
    assert scores[f"{engine}-fp32"].agreement.equal > 0.999
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
    return Bundle.open(row.bundle).manifest.notes


def test_a_plan_is_chosen_by_mean_dice(road, tmp_path):
    made = recipe(road, "ort-int8", steps=(TRAIN, EXPORT), budget=Budget(max_drop=20.0))
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


def test_int8_within_half_a_point_is_built_for_tensorrt(road, tmp_path):
    """A plan on accuracy alone, for a GPU that is not here: float is in it only where int8 costs too much.
    The graph is proved in ONNX Runtime."""
    pytest.importorskip("tensorrt_rtx")
    budget = Budget(max_drop=0.5)
    made = recipe(road, "rtx-int8@sm86", steps=(TRAIN, EXPORT), budget=budget)
    (found,) = quantize(made, road, tmp_path / "bundles", calibration="12", held_out="6")
    planned, bundle = found.planned, Bundle.open(found.path)
    assert planned.metric == "mean Dice" and planned.labelled and planned.met
    assert planned.latency == "unmeasured"
    (chosen,) = (plan for plan in planned.plans if plan.chosen)
    assert chosen.drop <= budget.max_drop
    layers = graph_info(onnx.load(str(bundle.file(bundle.manifest.graph)))).layers
    int8 = sum(layer.macs for layer in layers if planned.plan.get(layer.name) == "int8")
    assert int8 >= 0.8 * sum(layer.macs for layer in layers) > 0
    assert found.kind == "engine" and bundle.engine_size() > 0
    golden = bundle.manifest.golden
    assert golden.compared > 0.95 and golden.shows < 0.05, "bits are compared one by one"
    assert (golden.min_agreement, golden.min_agreement_full) == pytest.approx((0.999, 0.9998))
    assert bundle.engine.inputs[0].dtype == "uint8", "two bytes of each value"
    deploy = widened(onnx.load(str(bundle.file(bundle.engine.graph))))
    assert sum(node.op_type == "QuantizeLinear" for node in deploy.graph.node) >= 4
    split = open_dataset("folders", road).split("val")
    images = np.stack([split.image(i) for i in range(len(split))])
    masks = outputs_of(deploy, bundle.manifest.model, images)["bit_masks"]
    tally = Tally(bundle.manifest.model, None)
    for index, mask in enumerate(masks):
        tally.add(split.label(index), mask, full=False)
    assert tally.value() > best_constant(road) + 0.2
