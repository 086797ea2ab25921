"""The step `prune` on an ONNX file, and what comes behind it."""

from __future__ import annotations

import shutil

import msgspec
import numpy as np
import onnx
import pytest
import torch
from noise_data import NoiseData

from edgeseg.core.bundle import Bundle
from edgeseg.core.model_spec import Pruned
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.recipe import ModelChoice, Recipe, StepChoice
from edgeseg.errors import ModelError, RecipeError
from edgeseg.flow.plan import make_plan
from edgeseg.graph.editor import shape_of
from edgeseg.graph.info import graph_info
from edgeseg.graph.lift import lift
from edgeseg.graph.reference import run, session
from edgeseg.models.pruning import replay
from edgeseg.pruning import find_units
from edgeseg.runtime import load

SIZE = (32, 48)
PRUNE = {"keep": 0.6, "multiple": 1}
FINETUNE = {"steps": 2, "batch": 2, "loss": "ce+distil", "validate_every": 2}


@pytest.fixture
def exported(torch_bundle, run_step) -> Bundle:
    return run_step("export", torch_bundle())


def graph(bundle: Bundle) -> onnx.ModelProto:
    return onnx.load(str(bundle.file(bundle.manifest.graph)))


def scores(model: onnx.ModelProto) -> np.ndarray:
    image = np.random.default_rng(0).normal(size=(1, 3, *SIZE)).astype(np.float32)
    return next(iter(run(session(model), {model.graph.input[0].name: image}).values()))


def test_an_onnx_bundle_is_lifted_pruned_and_exported(exported, run_step):
    child = run_step("prune", exported, **PRUNE)
    assert child.manifest.kind == "onnx"
    assert graph_info(graph(child)).macs <= 0.6 * graph_info(graph(exported)).macs
    assert child.manifest.model.source.pruning
    assert child.manifest.checks[0].max_error < 1e-3
    assert scores(graph(child)).shape == scores(graph(exported)).shape


def test_the_pruned_file_goes_on_to_an_engine(exported, run_step):
    graph_again = run_step("export", run_step("prune", exported, **PRUNE), batch=1)
    child = run_step("build", graph_again, target="ort-fp32")
    golden = np.load(child.file("golden.npz"))
    with load(child.path) as engine:
        assert np.array_equal(engine(golden["frames"]), golden["class_map"])


def test_it_can_be_finetuned_with_the_file_as_teacher(exported, run_step):
    settings = {**PRUNE, "importance": "taylor", "images": 2, "finetune": FINETUNE}
    child = run_step("prune", exported, data=NoiseData(), **settings)
    assert any("fine-tuned to mIoU" in note for note in child.manifest.notes)
    unlearnt = run_step("prune", exported, data=NoiseData(), **PRUNE, importance="taylor", images=2)
    assert not np.array_equal(scores(graph(child)), scores(graph(unlearnt)))


def test_layers_are_protected_by_the_names_of_the_file(exported, run_step):
    first = graph(exported).graph.node[0].name
    with pytest.raises(ModelError, match="no layer that can be pruned"):
        run_step("prune", exported, **PRUNE, protect=(first,))


def test_of_several_outputs_the_scored_one_stays(exported, run_step):
    model = graph(exported)
    hidden = model.graph.node[0].output[0]
    model.graph.output.append(onnx.helper.make_tensor_value_info(hidden, onnx.TensorProto.FLOAT, None))
    model = onnx.shape_inference.infer_shapes(model)
    onnx.save(model, str(exported.path / exported.manifest.graph))
    wanted = Postprocess(output=model.graph.output[0].name)
    child = run_step("prune", changed(exported, postprocess=wanted), **PRUNE)
    assert [len(shape_of(o)) for o in graph(child).graph.output] == [4]
    assert shape_of(graph(child).graph.output[0])[1] == len(child.manifest.model.classes)
    assert child.manifest.model.postprocess.output == ""


def changed(bundle: Bundle, **fields) -> Bundle:
    model = msgspec.structs.replace(bundle.manifest.model, **fields)
    return Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, model=model))


def test_crops_of_another_size_are_refused(exported, run_step):
    with pytest.raises(RecipeError, match="crops of"):
        run_step("prune", exported, data=NoiseData(), finetune={**FINETUNE, "crop": [16, 16]})


def test_labels_are_needed_to_learn(exported, run_step):
    with pytest.raises(RecipeError, match="without labelled data"):
        run_step("prune", exported, finetune=FINETUNE)


@pytest.mark.parametrize("uses", [("prune",), ("prune", "export"), ("export", "prune")])
def test_a_recipe_takes_an_onnx_file_through_prune(exported, tmp_path, uses):
    recipe = Recipe(
        schema_version=1,
        name="pruned",
        model=ModelChoice(name=str(exported.file("graph.onnx"))),
        steps=tuple(StepChoice(use=use) for use in uses),
        targets=("ort-fp32",),
    )
    plan, _ = make_plan(recipe, tmp_path, scored=False)
    assert {step.produces for step in plan.steps} == {"onnx"}


def test_prune_export_quantize_qat_reload_is_bit_for_bit(torch_bundle, run_step, tmp_path):
    """What a bundle gives does not depend on where it lies or which process made it."""
    pytest.importorskip("onnxruntime")
    pruned = run_step("prune", torch_bundle(), data=NoiseData(), **PRUNE, finetune=FINETUNE)
    again = moved(pruned, tmp_path / "elsewhere")
    float_graph = run_step("export", pruned)
    assert np.array_equal(scores(graph(float_graph)), scores(graph(run_step("export", again, batch=1))))
    int8 = run_step("quantize", float_graph, data=NoiseData(), scheme="onnxruntime", images=4)
    learnt = run_step("qat", int8, data=NoiseData(), steps=2, batch=2, validate_every=2, held_out=2)
    engine = run_step("build", learnt, target="ort-int8")
    frames = np.load(engine.file("golden.npz"))["frames"]
    with load(engine.path) as here, load(moved(engine, tmp_path / "device").path) as there:
        assert np.array_equal(here(frames), there(frames))
    quantized = learnt.manifest.quantization.graph
    first, second = (b.file(quantized) for b in (learnt, moved(learnt, tmp_path / "qdq")))
    assert np.array_equal(scores(onnx.load(str(first))), scores(onnx.load(str(second))))


def moved(bundle: Bundle, place) -> Bundle:
    shutil.copytree(bundle.path, place)
    return Bundle.open(place)


def test_channels_of_a_file_that_change_places_stay():
    """Dead channels alone leave, and none of those that DepthToSpace spreads: the scores stay."""
    rng = np.random.default_rng(0)
    shapes = {"first": (8, 3, 3, 3), "spread": (32, 8, 1, 1), "last": (8, 8, 1, 1), "head": (3, 8, 1, 1)}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name in ("first", "last"):
        weights[name][1::2] = 0.0
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]>
        dead (float[1,3,32,48] image) => (float[1,3,64,96] scores) {
            a = Conv<pads = [1,1,1,1]>(image, first)
            b = Conv(a, spread)
            c = DepthToSpace<blocksize = 2>(b)
            d = Conv(c, last)
            scores = Conv(d, head)
        }"""
    )
    for name, value in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    image = torch.from_numpy(rng.normal(size=(1, 3, *SIZE)).astype(np.float32))
    module = lift(model)
    with torch.no_grad():
        expected = module(image)
        units = find_units(module, (3, *SIZE))
        assert {unit.width for unit in units} == {8}
        replay(module, [Pruned(unit.layer, "1,3,5,7") for unit in units], (3, *SIZE))
        assert torch.allclose(module(image), expected, rtol=1e-4, atol=1e-4)
    assert len(units) == 2
