"""What was made is used again exactly as long as nothing it was made of has changed."""

from __future__ import annotations

import os
import time

import msgspec
import numpy as np
import pytest
from small import NET, save, write_onnx, write_recipe

from edgeseg.core.cache import KEPT_DAYS, forget_unused
from edgeseg.core.calibration import CalibrationList, Entry
from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe, StepChoice
from edgeseg.core.target import Target
from edgeseg.datasets import open_dataset
from edgeseg.devices.local import LOCAL, Local
from edgeseg.flow.make import Maker
from edgeseg.flow.plan import make_plan
from edgeseg.flow.source_files import portable, source_files
from edgeseg.steps import Frames


def maker(recipe, folder):
    plan, data = make_plan(recipe, folder)
    return Maker(plan, data, folder / "steps")


@pytest.fixture
def recipe(tmp_path):
    return write_recipe(tmp_path)


def test_the_same_files_give_the_same_network(recipe, tmp_path):
    assert maker(recipe, tmp_path).source().id == maker(recipe, tmp_path).source().id


def test_a_changed_module_that_the_network_imports_makes_another(recipe, tmp_path):
    before = maker(recipe, tmp_path).source().id
    (tmp_path / "helper.py").write_text("def bias():\n    return 0.0  # later\n")
    assert maker(recipe, tmp_path).source().id != before


def test_a_file_that_only_the_factory_knows_is_read_each_time(recipe, tmp_path):
    file = str(tmp_path / "b")
    own = f"from pathlib import Path\ndef bias():\n    return float(Path({file!r}).read_text())\n"
    (tmp_path / "net.py").write_text(NET.replace("from helper import bias\n", own))
    (tmp_path / "b").write_text("1")
    before = maker(recipe, tmp_path).source()
    assert maker(recipe, tmp_path).source().id == before.id
    (tmp_path / "b").write_text("2")
    assert maker(recipe, tmp_path).source().manifest.files != before.manifest.files


def test_changed_external_data_is_another_onnx_network(tmp_path):
    model = ModelChoice(name=str(tmp_path / "net.onnx"))
    recipe = Recipe(schema_version=1, name="x", model=model, data=DataChoice(name=""), targets=("ort-fp32",))
    write_onnx(tmp_path / "net.onnx", 1.0)
    first, file = maker(recipe, tmp_path).source().manifest, (tmp_path / "net.onnx").read_bytes()
    write_onnx(tmp_path / "net.onnx", 2.0)
    second = maker(recipe, tmp_path).source().manifest
    assert (tmp_path / "net.onnx").read_bytes() == file, "the .onnx itself is the same"
    assert first.files != second.files
    assert first.model.weights.sha256 != second.model.weights.sha256


def test_modules_cards_and_options_count_as_given(tmp_path):
    for name in ("net.py", "other.py", "net.pt", "net.json", "encoder.pt"):
        (tmp_path / name).write_text("")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "block.py").write_text("from . import core\n")
    (tmp_path / "parts" / "core.py").write_text("import net\n")
    (tmp_path / "net.py").write_text("import torch\ndef f():\n    from parts.block import x\n")
    choice = ModelChoice(
        name=str(tmp_path / "net.py:f"),
        weights=str(tmp_path / "net.pt"),
        options={"encoder_weights": str(tmp_path / "encoder.pt"), "depth": 3, "name": ""},
    )
    names = {name for name, _ in source_files(choice)}
    assert names == {"net.py", "net.pt", "net.json", "encoder.pt", "parts/block.py", "parts/core.py"}


def test_what_an_option_names_counts_under_its_own_name(tmp_path):
    for folder, text in (("a", "1"), ("b", "2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.json").write_text(text)
    first, second = str(tmp_path / "a" / "t.json"), str(tmp_path / "b" / "t.json")
    one, other = (
        portable(ModelChoice(name="net.py:f", options={"from": a, "to": b}))
        for a, b in ((first, second), (second, first))
    )
    assert one != other and str(tmp_path) not in str(one)


def test_ranges_of_another_device_are_not_used_again(tmp_path):
    """Without a plan too: they are collected in its engine."""
    pytest.importorskip("openvino")
    recipe = write_recipe(tmp_path, targets=("openvino-int8", "ort-int8"))

    class Kitchen(Local):
        name = "kitchen"

    plan, data = make_plan(recipe, tmp_path)
    here, there = (Maker(plan, data, tmp_path / "steps", device=device) for device in (LOCAL, Kitchen()))
    graph = here.graph()
    (step,) = plan.int8_steps
    for target, same in (("openvino-int8", False), ("ort-int8", True)):
        work = [m._work(step, graph, m.context(graph), Target.parse(target)) for m in (here, there)]
        assert (here._key(work[0]) == there._key(work[1])) is same


def test_where_files_lie_does_not_count(tmp_path):
    """Nothing that is made, or found again, tells a path of the machine it was made on."""
    made = []
    for place in (tmp_path / "here", tmp_path / "there" / "deep"):
        place.mkdir(parents=True)
        steps = (StepChoice(use="export"), StepChoice(use="quantize", settings={"list": "some.txt"}))
        recipe = write_recipe(place / "work", steps=steps, targets=("ort-fp32", "ort-int8"))
        split = open_dataset("folders", place / "work" / "lab").split("train")
        entries = tuple(Entry(s.id, s.sha256) for s in split.sample_list().samples[:2])
        CalibrationList(dataset=split.dataset, split="train", entries=entries).write(
            place / "work" / "some.txt"
        )
        one = maker(recipe, place / "work")
        made.append((one, [one.source(), one.graph(), *one.engines(place / "out")]))
    (one, here), (other, there) = made
    assert one._source_key == other._source_key
    for bundle, twin in zip(here, there):
        told = (bundle.path / "manifest.json").read_text()
        assert str(tmp_path) not in told
        assert bundle.manifest.step.settings == twin.manifest.step.settings
        assert {f.sha256 for f in bundle.manifest.files.values()} == {
            f.sha256 for f in twin.manifest.files.values()
        }


def test_a_changed_label_trains_again(tmp_path):
    steps = (StepChoice(use="train", settings={"steps": 1, "batch": 2}), StepChoice(use="export"))
    recipe = write_recipe(tmp_path, steps=steps)
    first = maker(recipe, tmp_path).graph()
    assert maker(recipe, tmp_path).graph().id == first.id
    save(tmp_path / "lab" / "masks" / "train" / "3.png", np.ones((32, 32)))
    assert maker(recipe, tmp_path).graph().manifest.parent != first.manifest.parent


def test_a_recipe_trains_on_as_many_images_as_its_limit_says(tmp_path):
    steps = (StepChoice(use="train", settings={"steps": 1, "batch": 2}), StepChoice(use="export"))
    recipe = write_recipe(tmp_path, steps=steps)
    limited = msgspec.structs.replace(recipe, data=msgspec.structs.replace(recipe.data, limit=2))
    made = maker(limited, tmp_path)
    assert made.context(made.source()).limit == 2
    before = made.graph().id
    save(tmp_path / "lab" / "masks" / "train" / "3.png", np.ones((32, 32)))
    assert maker(limited, tmp_path).graph().id == before, "the fourth image does not take part"


def test_int8_is_made_again_when_the_images_that_calibrate_change_and_only_then(tmp_path):
    step = StepChoice(use="quantize", settings={"images": 2})
    recipe = write_recipe(tmp_path, steps=(StepChoice(use="export"), step), targets=("ort-int8",))

    def key():
        made = maker(recipe, tmp_path)
        return made.quantized(made.graph(), Target.parse("ort-int8")).manifest.step.key

    folder = tmp_path / "lab"
    count = len(list((folder / "masks" / "train").iterdir()))
    used = sorted(p.stem for p in (folder / "masks" / "train").iterdir())[:: count // 2][:2]
    other = next(p for p in sorted((folder / "masks" / "train").iterdir()) if p.stem not in used)
    before = key()
    save(other, np.ones((32, 32)))
    assert key() == before
    picture = next((folder / "images" / "train").glob(f"{used[0]}.*"))
    save(picture, np.full((32, 32, 3), 7))
    assert key() != before


def test_what_is_used_again_stays_in_the_cache(recipe, tmp_path):
    first = maker(recipe, tmp_path).graph()
    long_ago = time.time() - (KEPT_DAYS + 1) * 86400
    for path in (first.path, *first.path.rglob("*")):
        os.utime(path, (long_ago, long_ago))
    maker(recipe, tmp_path).graph()
    forget_unused(first.path.parent)
    assert first.path.exists()


def test_frames_count_as_pixels_and_generated_ones_are_not_drawn_for_it(recipe, tmp_path, monkeypatch):
    def key(recipe):
        made = maker(recipe, tmp_path)
        parent, (step,) = made.source(), made.plan.steps
        return made._key(made._work(step, parent, made.context(parent), None))

    before = key(recipe)
    save(tmp_path / "lab" / "images" / "val" / "1.png", np.zeros((32, 32, 3)))
    assert key(recipe) != before

    def drawn(count):
        raise AssertionError(f"{count} frames were drawn")

    monkeypatch.setattr("edgeseg.flow.make.frames_for", lambda *_: Frames("synthetic", drawn))
    generated = msgspec.structs.replace(recipe, data=DataChoice(name=""))
    smaller = msgspec.structs.replace(generated, camera_size=(16, 32))
    assert key(generated) == key(generated) != key(smaller)
