"""docs/extending.md, done: its files are dropped into the package and used through the public API."""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe

LAYERS = ("runtime", "graph", "metrics", "datasets", "training")
PARTS = ("models", "datasets", *(f"{layer}/tasks" for layer in LAYERS), "backends", "devices")


@pytest.fixture
def extended(clone, tmp_path, monkeypatch):
    """The files of the document, found by the package as if they lay in its folders."""
    text = (clone / "docs" / "extending.md").read_text()
    blocks = re.findall(r"```python\n# edgeseg/([\w/]+)/(\w+)\.py\n(.*?)```", text, flags=re.DOTALL)
    assert [part for part, _, _ in blocks] == list(PARTS)
    for part, stem, code in blocks:
        folder = tmp_path / "added" / part
        folder.mkdir(parents=True)
        (folder / f"{stem}.py").write_text(code)
        package = importlib.import_module(f"edgeseg.{part.replace('/', '.')}")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    yield
    for part, stem, _ in blocks:
        sys.modules.pop(f"edgeseg.{part.replace('/', '.')}.{stem}", None)


@pytest.fixture
def crops(tmp_path):
    """Bright plants on dark soil."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2)):
        folder = tmp_path / "crops" / split
        folder.mkdir(parents=True)
        for index in range(count):
            plant = rng.random((64, 96)) < rng.random()
            noise = rng.integers(0, 60, (64, 96, 3))
            Image.fromarray((noise + plant[..., None] * 150).astype(np.uint8)).save(folder / f"{index}.jpg")
            Image.fromarray((plant * 255).astype(np.uint8)).save(folder / f"{index}.plants.png")
    return tmp_path / "crops"


def tiny_on(crops, *targets):
    """A recipe of the new model on the new data."""
    return Recipe(
        schema_version=1,
        name="extended",
        model=ModelChoice(name="tiny", options={"width": 4}),
        data=DataChoice(name="crops", root=str(crops)),
        targets=targets,
    )


@pytest.mark.usefixtures("extended")
def test_new_files_are_listed():
    from edgeseg.backends import BACKENDS
    from edgeseg.datasets import DATASETS
    from edgeseg.models import MODELS

    assert "tiny" in MODELS.names()
    assert "crops" in DATASETS.names()
    assert "onnxref" in BACKENDS.names()


@pytest.mark.usefixtures("extended")
def test_the_number_of_parameters_is_true():
    from edgeseg.models import family

    entry = family("tiny")
    network = entry.create(19, 3, **entry.options)
    assert sum(p.numel() for p in network.parameters()) == entry.parameters


@pytest.mark.usefixtures("extended")
def test_from_a_new_model_on_new_data_to_a_new_engine(crops, tmp_path):
    from edgeseg.datasets import open_dataset
    from edgeseg.evaluation.verify import verify
    from edgeseg.flow.make import export
    from edgeseg.runtime import load

    data = open_dataset("crops", crops)
    assert data.splits() == ("train", "val")
    assert set(np.unique(data.split("train").label(0))) <= {0, 1}

    recipe = tiny_on(crops, "onnxref-fp32", "ort-fp32")
    new, known = export(recipe, tmp_path, tmp_path / "bundles")
    frame = data.split("val").image(0)
    with load(new.path) as session, load(known.path) as other:
        assert session.spec.class_names == ("soil", "plant")
        assert (session(frame) == other(frame)).mean() > 0.999
    found = verify(new.path, dataset=data, split="val")
    assert found.agreement.equal > 0.999
    assert found.verdict.status == "unmeasured", "its weights are random"


@pytest.mark.usefixtures("extended")
def test_a_new_task_is_trained_exported_and_scored(crops, tmp_path, monkeypatch):
    """Labels 0 and 1: nothing, and soil in front."""
    from edgeseg.core.recipe import Budget, StepChoice
    from edgeseg.datasets import DATASETS
    from edgeseg.flow.run import run
    from edgeseg.prediction.predict import predict
    from edgeseg.runtime import load

    layout = DATASETS.load("crops").Crops
    plain = layout.split
    monkeypatch.setattr(layout, "split", lambda self, name: replace(plain(self, name), task="layers"))
    recipe = msgspec.structs.replace(
        tiny_on(crops, "ort-fp32"),
        model=ModelChoice(name="tiny", options={"width": 4}, task="layers"),
        steps=(
            StepChoice(use="train", settings={"steps": 30, "batch": 3, "lr": 0.05}),
            StepChoice(use="export"),
        ),
        budget=Budget(max_drop=5.0),
        bench=False,
    )
    found = run(recipe, tmp_path, tmp_path / "run")
    assert (found.metric, found.verdict.status) == ("mIoU of the front", "pass")
    (engine,) = (row for row in found.rows if row.verification)
    assert engine.verification.value > 0.5 and engine.verification.agreement.equal > 0.999
    with load(engine.bundle) as session:
        frame = layout(crops).split("val").image(0)
        result = session.predict(frame)
        assert type(result).__name__ == "LayerMap" and result.layer_map.max() <= 2
    predicted = predict(engine.bundle, crops / "val", tmp_path / "masks")
    assert set(predicted.results[0].fractions) == {"soil", "plant"}


@pytest.mark.usefixtures("extended")
def test_a_new_engine_has_int8_of_its_own(crops, tmp_path):
    from edgeseg.flow.quantize import quantize
    from edgeseg.runtime import load

    recipe = tiny_on(crops, "onnxref-int8")
    (made,) = quantize(recipe, tmp_path, tmp_path / "bundles", plan=False, calibration="2")
    with load(made.path) as session:
        assert session.bundle.manifest.quantization.scheme == "onnxref"


@pytest.mark.usefixtures("extended")
def test_a_new_transport_reaches_a_new_engine(crops, tmp_path):
    from edgeseg.devices import device_named
    from edgeseg.errors import InputError
    from edgeseg.flow.bench import bench
    from edgeseg.flow.make import export

    with pytest.raises(InputError, match="no interpreter"):
        device_named("python:nowhere")
    recipe = tiny_on(crops, "onnxref-fp32")
    with device_named(f"python:{sys.executable}") as device:
        assert "onnxref-fp32" in {one.target for one in device.describe().targets if one.run}
        (made,) = export(recipe, tmp_path, tmp_path / "bundles", device=device)
        found = bench(made.path, min_runs=30, min_seconds=0.0, device=device)
    assert found.measurements[0].bundle_id == made.id
