"""What a plan, and each command, says before any work."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from small import write_data, write_recipe

from edgeseg.backends.openvino import OpenVinoBackend
from edgeseg.core.documents import read_json, read_toml
from edgeseg.core.recipe import Budget, DataChoice, ModelChoice, Recipe, StepChoice, TargetChoice
from edgeseg.core.target import Target
from edgeseg.datasets.split import Split
from edgeseg.device.bench import BenchSettings
from edgeseg.device.build import checked_options
from edgeseg.errors import BundleError, EdgesegError, InputError, UnsupportedOperator
from edgeseg.flow import make
from edgeseg.flow.build import build
from edgeseg.flow.make import export
from edgeseg.flow.plan import make_plan, outline, with_input_size
from edgeseg.flow.quantize import quantize
from edgeseg.flow.run import run
from edgeseg.flow.train import train

BARE = """
schema_version = 1
name = "small"
targets = ["ort-fp32"]
"""
QUANTIZED = """
[model]
name = "demo"
[[steps]]
use = "export"
[[steps]]
use = "quantize"
[steps.settings]
"""
PRUNED = """
[model]
name = "demo"
[data]
name = "{}"
[[steps]]
use = "prune"
[steps.settings]
{}
[[steps]]
use = "export"
"""


@pytest.fixture
def no_pixels(monkeypatch):
    """Nothing may be hashed."""
    monkeypatch.setattr(Split, "sample_list", lambda *_: pytest.fail("hashed"))
    monkeypatch.setattr(Split, "fingerprint", lambda *_: pytest.fail("hashed"))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('[model]\nname = "demo"\npreprocess = { mean = [nan, 0.0, 0.0] }', "mean is .nan"),
        ('[model]\nname = "demo"\npreprocess = { std = [0.0, 1.0, 1.0] }', "std is .0.0"),
        ('[model]\nname = "demo"\npreprocess = { men = [0.0, 0.0, 0.0] }', "men"),
        ('[model]\nname = "demo"\npostprocess = { threshold = 5 }', "threshold is 5"),
        ('[model]\nname = "demo"\nclasses = 0', "classes is 0"),
        ('[model]\nname = "demmo"', "no model 'demmo'"),
        ('[model]\nname = "mobile-unet"\noptions = { widht = 3 }', "widht"),
        ('camera_size = [100, 100]\n[model]\nname = "demo"\ninput_size = [64, 64]', "100x100.*64x64"),
        ('[model]\nname = "demo"\ntask = "dance"', "dance"),
        (QUANTIZED + "images = -1", ">= 1.*images = -1"),
        (QUANTIZED + "imagse = 8", "imagse"),
        (QUANTIZED + "[steps.settings.ptq]\nrange = 'mse'", "range"),
        (QUANTIZED + "[steps.settings.ptq]\npercentile = 250.0", "percentile = 250"),
        (QUANTIZED + "[steps.settings.ptq]\nweight_bits = 80", "weight_bits = 80"),
        (PRUNED.format("", 'importance = "taylor"'), "'taylor' without labelled data"),
        (PRUNED.format("", "finetune = { steps = 1 }"), "fine-tunes without labelled data"),
        (PRUNED.format("synthetic-streets", "held_out = 0"), "held_out = 0"),
        (PRUNED.format("synthetic-streets", "seed = -1"), "seed of the pruning is -1"),
        (PRUNED.format("synthetic-streets", 'finetune = { steps = 1, loss = "cee" }'), "term 'cee'"),
        (PRUNED.format("synthetic-streets", 'by = "latency"\ntarget = "trt-fp16"'), "latency on trt-fp16"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused_by_its_plan(tmp_path, no_pixels, lines, said):
    (tmp_path / "r.toml").write_text(BARE + lines)
    with pytest.raises(EdgesegError, match=said):
        make_plan(read_toml(tmp_path / "r.toml", Recipe), tmp_path)


def test_a_frame_that_the_card_of_the_weights_lets_in_is_not_refused(tmp_path):
    from edgeseg.models.card import Card
    from edgeseg.models.demo import WEIGHTS

    for file in (WEIGHTS, WEIGHTS.with_suffix(".json")):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    card = tmp_path / WEIGHTS.with_suffix(".json").name
    card.write_text(card.read_text().replace('"resize": "none"', '"resize": "letterbox"'))
    name = read_json(card, Card).model
    model = ModelChoice(name=name, weights=str(tmp_path / WEIGHTS.name), input_size=(64, 64))
    outline(small(model, camera_size=(100, 100)), tmp_path)
    sized = msgspec.structs.replace(model, input_size=None)
    assert with_input_size(sized, (100, 100)).input_size is None, "frames are laid into the size of the card"
    asked = msgspec.structs.replace(sized, preprocess={"resize": "none"})
    assert with_input_size(asked, (100, 100)).input_size == (128, 128)


def small(model: ModelChoice, *uses: str, **fields) -> Recipe:
    fields = {"targets": ("ort-fp32",), "data": DataChoice(name=""), **fields}
    steps = tuple(StepChoice(use=use) for use in uses) or (StepChoice(use="export"),)
    return Recipe(schema_version=1, name="small", model=model, steps=steps, **fields)


def write_graph(path, *nodes, opset=18, size=32):
    """A convolution to two channels, and nodes behind it: (operator, name, attributes, more inputs)."""
    from onnx import TensorProto, helper, numpy_helper, save

    made = [helper.make_node("Conv", ["image", "w"], ["0"], name="conv")]
    for number, (operator, name, attributes, *more) in enumerate(nodes):
        inputs = [str(number), *more]
        made.append(helper.make_node(operator, inputs, [str(number + 1)], name=name, **attributes))
    weight = numpy_helper.from_array(np.full((2, 3, 1, 1), 0.1, np.float32), "w")
    shapes = ([1, 3, size, size], [1, 2, size, size])
    graph = helper.make_graph(
        made,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info(str(len(nodes)), TensorProto.FLOAT, shapes[1])],
        [weight, numpy_helper.from_array(np.array([2]), "lengths")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), str(path))
    return ModelChoice(name=str(path))


def test_an_onnx_file_is_read_as_its_steps_will(tmp_path, no_pixels):
    with pytest.raises(InputError, match=r"a frame of 40x40 .* 32x32"):
        make_plan(small(write_graph(tmp_path / "net.onnx"), camera_size=(40, 40)), tmp_path)
    (tmp_path / "broken.onnx").write_bytes(b"\x00" * 40)
    with pytest.raises(EdgesegError, match=r"broken\.onnx"):
        make_plan(small(ModelChoice(name=str(tmp_path / "broken.onnx"))), tmp_path)


def test_what_cannot_be_lifted_is_not_planned_to_be_pruned_or_trained(tmp_path, no_pixels):
    model = write_graph(tmp_path / "net.onnx", ("ReverseSequence", "turn", TURN, "lengths"))
    make_plan(small(model), tmp_path)
    (tmp_path / "lab").mkdir()
    images = write_data(tmp_path / "lab")
    with pytest.raises(UnsupportedOperator, match="ReverseSequence 'turn'"):
        make_plan(small(model, "prune", "export"), tmp_path)
    with pytest.raises(UnsupportedOperator, match="ReverseSequence 'turn'"):
        recipe = small(model, "export", "quantize", "qat", targets=("ort-int8",), data=images)
        make_plan(recipe, tmp_path)


def test_the_operators_of_each_engine_are_asked_for_before_calibration(tmp_path, no_pixels, monkeypatch):
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())\n"
    )
    (tmp_path / "lab").mkdir()
    asked = []

    def refuse(backend, graph, target):
        asked.append(str(target))
        raise UnsupportedOperator("no Relu")

    monkeypatch.setattr(OpenVinoBackend, "check", refuse)
    monkeypatch.setattr(make, "check_images", lambda *_: None)
    recipe = small(
        ModelChoice(name=str(tmp_path / "net.py:net"), input_size=(32, 32), preprocess={"resize": "stretch"}),
        targets=("ort-int8", "openvino-int8"),
        data=write_data(tmp_path / "lab"),
    )
    with pytest.raises(UnsupportedOperator, match="no Relu"):
        export(recipe, tmp_path, tmp_path / "out")
    assert asked == ["openvino-int8"] and not (tmp_path / "out").exists()


def test_a_bundle_in_the_way_is_told_before_the_network_is_exported(tmp_path, monkeypatch):
    recipe = write_recipe(tmp_path / "net", data=DataChoice(name=""))
    (made,) = export(recipe, tmp_path, tmp_path / "out")
    assert export(recipe, tmp_path, tmp_path / "out")[0].id == made.id, "the same is no hindrance"
    monkeypatch.setattr(make, "load", lambda *_, **__: pytest.fail("loaded"))
    larger = msgspec.structs.replace(recipe, camera_size=(16, 16))
    with pytest.raises(BundleError, match="--overwrite"):
        export(larger, tmp_path, tmp_path / "out")
    (tmp_path / "mine" / "net-ort-fp32").mkdir(parents=True)
    for overwrite in (False, True):
        with pytest.raises(BundleError, match="is not a bundle"):
            export(recipe, tmp_path, tmp_path / "mine", overwrite=overwrite)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file is no folder"):
        export(recipe, tmp_path, tmp_path / "file" / "out")


def test_quantize_tells_a_bundle_in_the_way_before_it_hashes(tmp_path, no_pixels):
    recipe = write_recipe(tmp_path / "net", targets=("ort-int8",))
    (tmp_path / "out" / "net-ort-int8").mkdir(parents=True)
    with pytest.raises(BundleError, match="net-ort-int8 exists"):
        quantize(recipe, tmp_path, tmp_path / "out")


def test_a_run_tells_what_is_in_its_way_before_it_hashes(tmp_path, no_pixels):
    recipe = write_recipe(tmp_path / "net", targets=("ort-int8",))
    (tmp_path / "out" / "bundles" / "net-ort-int8").mkdir(parents=True)
    with pytest.raises(BundleError, match="is not a bundle"):
        run(recipe, tmp_path, tmp_path / "out")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file is no folder"):
        run(recipe, tmp_path, tmp_path / "file")
    with pytest.raises(InputError, match="min_runs is 0"):
        run(recipe, tmp_path, tmp_path / "other", settings=BenchSettings(min_runs=0))
    assert not (tmp_path / "other").exists()


def test_a_training_tells_that_frames_do_not_fit_before_it_hashes(tmp_path, no_pixels):
    (tmp_path / "lab").mkdir()
    data = f"folders={write_data(tmp_path / 'lab').root}"
    choice = ModelChoice(name="demo", input_size=(16, 16), classes=2)
    with pytest.raises(InputError, match=r"a frame of 32x32 .* 16x16"):
        train(choice, data, tmp_path / "out", {"steps": 1})
    fits = msgspec.structs.replace(choice, input_size=None)
    for settings, said in (
        ({"loss": "cee"}, "term 'cee'"),
        ({"loss": "distil"}, "no network to distil from"),
    ):
        with pytest.raises(InputError, match=said):
            train(fits, data, tmp_path / "out", {"steps": 1, **settings})
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file is no folder"):
        train(fits, data, tmp_path / "file", {"steps": 1})
    assert not (tmp_path / "out").exists()


def test_a_build_tells_what_is_in_its_way_before_it_reads_the_bundle(make_bundle, tmp_path):
    later = make_bundle(kind="deferred")
    (later / "deploy.onnx").write_bytes(b"changed")
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(BundleError, match="taken exists and is not a bundle"):
        build(later, str(taken))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"budget": Budget(max_p99_ms=9.0)}, ["bench = false measures no latency", "exit code 4"]),
        ({"data": DataChoice(name=""), "budget": Budget(max_drop=1.0)}, ["no labels", "exit code 4"]),
        ({"targets": ("trt-fp16",), "budget": Budget(max_drop=1.0)}, ["here on trt-fp16", "exit code 4"]),
        ({"targets": ("trt-fp16",)}, []),
        (
            {
                "targets": (TargetChoice(target="trt-fp16", unmeasured="allow"),),
                "budget": Budget(max_drop=1.0),
            },
            [],
        ),
        ({"budget": Budget(max_drop=1.0)}, []),
    ],
)
def test_a_plan_tells_limits_that_will_have_no_answer(tmp_path, fields, said):
    plan, _ = make_plan(write_recipe(tmp_path, **fields), tmp_path)
    assert len(plan.notes) == len(said) and all(s in note for s, note in zip(said, plan.notes)), plan.notes


def test_numbers_out_of_range_have_one_place():
    for absurd, said in (
        (-1, "workspace_mb is -1, expected .* to 1,048,576"),
        (10**7, "workspace_mb is 10000000, expected"),
        (10**20, "workspace_mb is an integer of 67 bits"),
    ):
        with pytest.raises(InputError, match=f"the build options of trt: {said}"):
            checked_options(Target.parse("trt-fp16"), {"workspace_mb": absurd})
    with pytest.raises(InputError, match="the build options of ort"):
        checked_options(Target.parse("ort-fp32"), {"workspace_mb": 64})
    with pytest.raises(InputError, match="threads is -2"):
        BenchSettings(threads=-2).require_sane()


TURN = {"batch_axis": 0, "time_axis": 1}
"""Of the two channels."""
