from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch

from edgeseg.core.bundle import Bundle, sealed
from edgeseg.core.documents import encode, read_json
from edgeseg.core.drafts import draft
from edgeseg.core.ports import Lap
from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe, StepChoice
from edgeseg.device.bench import BenchSettings
from edgeseg.device.statistics import paired_ratio
from edgeseg.errors import InputError, ModelError, RecipeError
from edgeseg.flow.data import open_data
from edgeseg.flow.latency import EngineStopwatch
from edgeseg.flow.load import load
from edgeseg.flow.plan import make_plan
from edgeseg.flow.run import run
from edgeseg.graph.info import graph_info
from edgeseg.models.load import open_network
from edgeseg.pruning import Costs
from edgeseg.steps import STEPS, Context, Frames
from edgeseg.steps._pruning_latency import OnTarget
from edgeseg.training.settings import TrainSettings

SIZE = (64, 64)
DATA = DataChoice(limit=2)
FINETUNE = {"steps": 2, "batch": 2, "loss": "ce+distil", "validate_every": 2}


@pytest.fixture(scope="module")
def data():
    return open_data(DATA, ModelChoice(name="demo"))


@pytest.fixture(scope="module")
def parent(data, tmp_path_factory) -> Bundle:
    folder = tmp_path_factory.mktemp("parent") / "demo"
    with draft(folder) as work:
        work.finish(
            load(
                ModelChoice(name="demo", input_size=SIZE, preprocess={"resize": "stretch"}),
                data,
                work,
                trust_file=False,
            )
        )
    return Bundle.open(folder)


@pytest.fixture
def prune(parent, data, tmp_path):
    """Settings (and what the context has) to the pruned bundle."""

    def call(name="pruned", *, of=parent, context=None, **settings) -> Bundle:
        step = STEPS.load("prune").step("prune")
        base = Context(
            camera_size=SIZE,
            frames=Frames("synthetic", lambda n: np.zeros((n, *SIZE, 3), np.uint8)),
            work=tmp_path / "work" / name,
            cache=tmp_path / "cache",
            dataset=data.dataset,
            limit=2,
        )
        typed = msgspec.convert(settings, step.settings)
        with draft(tmp_path / name) as work:
            work.finish(step.run(of, typed, work, dataclasses.replace(base, **(context or {}))))
        return Bundle.open(tmp_path / name)

    return call


def macs(bundle: Bundle) -> int:
    return Costs(open_network(bundle), bundle.manifest.model.input_shape).macs


def test_a_pruned_bundle_opens_without_pickle_to_the_same_network(prune, parent):
    bundle = prune(keep=0.5)
    assert set(bundle.manifest.files) == {"weights.safetensors"}
    assert bundle.manifest.model.source.pruning
    assert macs(bundle) <= 0.5 * macs(parent)
    assert "GMAC" in bundle.manifest.notes[-1]


def test_what_is_loaded_is_bit_for_bit_what_was_saved(prune, monkeypatch):
    """Pruned, fine-tuned, pruned again and fine-tuned: the network in memory and the one read back."""
    from edgeseg.models import checkpoint

    kept = []
    write = checkpoint.write_safetensors

    def remember(path, module, half=False):
        kept.append(module)
        write(path, module, half)

    monkeypatch.setattr(checkpoint, "write_safetensors", remember)
    bundle = prune(keep=0.4, rounds=2, importance="taylor", images=2, finetune=FINETUNE)
    image = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(open_network(bundle)(image), kept[-1].eval()(image))
    assert [note for note in bundle.manifest.notes if "round 2 of 2: fine-tuned to mIoU" in note]


def test_a_pruned_bundle_can_be_pruned_again(prune):
    once = prune("once", keep=0.7)
    twice = prune("twice", of=once, keep=0.7)
    assert macs(twice) <= 0.7 * macs(once)
    first = once.manifest.model.source.pruning
    assert twice.manifest.model.source.pruning[: len(first)] == first


def test_a_changed_history_is_refused(prune, tmp_path):
    bundle = prune(keep=0.7)
    copy = tmp_path / "changed"
    shutil.copytree(bundle.path, copy)
    manifest = read_json(copy / "manifest.json", type(bundle.manifest))
    spec = manifest.model
    cut = msgspec.structs.replace(spec.source.pruning[0], layer="encoder.nothing")
    source = msgspec.structs.replace(spec.source, pruning=(cut,))
    changed = msgspec.structs.replace(manifest, model=msgspec.structs.replace(spec, source=source))
    (copy / "manifest.json").write_bytes(encode(sealed(changed)))
    with pytest.raises(ModelError, match=r"encoder\.nothing"):
        open_network(Bundle.open(copy))


@pytest.fixture
def few_measurements(monkeypatch):
    monkeypatch.setattr("edgeseg.steps._pruning.LATENCY_TRIES", 3)


class Pretended:
    """A stopwatch of rules: milliseconds of a file; `layers` of one by node."""

    def __init__(self, milliseconds, layers=lambda graph: {}) -> None:
        self.milliseconds, self._layers = milliseconds, layers
        self.raced: list[str] = []

    def race(self, graphs, target):
        self.raced.append(str(target))
        taken = [self.milliseconds(graph) for graph in graphs]
        return tuple(
            Lap(milliseconds=ms, over_first=paired_ratio([[[ms]]] * 2, [[[taken[0]]]] * 2)) for ms in taken
        )

    def layers(self, graph, target):
        return self._layers(onnx.load(str(graph)).graph)


def million_macs(path: Path) -> float:
    return graph_info(onnx.load(str(path))).macs / 1e6


def test_latency_is_brought_down_by_racing_the_network_before_pruning(prune, parent, few_measurements):
    stopwatch = Pretended(million_macs)
    bundle = prune(keep=0.7, by="latency", target="null-fp32", context={"stopwatch": stopwatch})
    assert macs(bundle) <= 0.72 * macs(parent)
    assert set(stopwatch.raced) == {"null-fp32"} and len(stopwatch.raced) < 7
    share = rf"{100 * macs(bundle) / macs(parent):.0f}"
    told = f"{share}% of the latency on null-fp32 (95% interval {share} to {share})"
    assert bundle.manifest.notes[-1].endswith(told)


def test_taylor_by_latency_takes_channels_where_the_time_is(prune, few_measurements):
    """A depthwise layer is said to take most of the time; of the MACs it has 1%."""
    slow = "encoder.model.blocks.5.2.conv_dw"

    def layers(graph):
        weights = {node.name: node.input[1] for node in graph.node if node.op_type == "Conv"}
        return {node: 1000.0 if weight == f"{slow}.weight" else 1.0 for node, weight in weights.items()}

    def taken(name: str, stopwatch: Pretended) -> int:
        settings = {"importance": "taylor", "images": 2, "by": "latency", "target": "null-fp32"}
        bundle = prune(name, keep=0.95, **settings, context={"stopwatch": stopwatch})
        cuts = {cut.layer: len(cut.indices()) for cut in bundle.manifest.model.source.pruning}
        return cuts.get(slow, 0)

    assert taken("timed", Pretended(million_macs, layers)) > 1.5 * taken("other", Pretended(million_macs))


@pytest.mark.parametrize("target", ["openvino-fp32", "ort-fp32"])
def test_a_real_engine_tells_the_time_of_every_layer(parent, tmp_path, target):
    network = open_network(parent)
    told = OnTarget(network, (3, *SIZE), target, EngineStopwatch(), tmp_path).layers(network)
    convolutions = [n for n, m in network.named_modules() if isinstance(m, torch.nn.modules.conv._ConvNd)]
    assert set(told) == set(convolutions) and all(ms > 0.0 for ms in told.values())


def test_a_killed_latency_pruning_keeps_what_it_chose(prune, tmp_path, few_measurements):
    """The second run would choose otherwise: its clock says that nothing has to go."""
    first = prune("first", keep=0.7, by="latency", target="null-fp32", context={"stopwatch": clock(1.0)})
    shutil.copytree(tmp_path / "work" / "first", tmp_path / "work" / "again")
    again = prune("again", keep=0.7, by="latency", target="null-fp32", context={"stopwatch": clock(9.0)})
    assert again.manifest.model.source.pruning == first.manifest.model.source.pruning


def clock(scale: float) -> Pretended:
    """Milliseconds that fall with the size of the file, by another law for every scale."""
    return Pretended(lambda path: path.stat().st_size ** (1.0 / scale))


def test_widths_can_come_from_a_measured_staircase(prune):
    def milliseconds(path: Path) -> float:
        width = int(path.stem.partition("-")[2])
        return float(-(-width // 16))

    stopwatch = Pretended(milliseconds)
    bundle = prune(keep=0.7, staircase=True, target="null-fp32", context={"stopwatch": stopwatch})
    spec = bundle.manifest.model
    taken = {cut.layer: len(cut.indices()) for cut in spec.source.pruning}
    layers = dict(open_network(bundle).named_modules())
    assert all(layers[name].out_channels % 16 == 0 for name in taken)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": 0.01}, "cannot bring the network's GMAC down to"),
        ({"protect": ("encoder.nothing",)}, "no layer 'encoder.nothing'"),
        ({"by": "latency", "target": "null-fp32"}, "nothing here measures"),
    ],
)
def test_bad_input_is_one_clear_error_and_leaves_nothing(prune, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        prune(**settings)
    assert not (tmp_path / "pruned").exists()


@pytest.mark.parametrize("settings", [{"importance": "taylor"}, {"finetune": FINETUNE}])
def test_what_needs_images_says_so(prune, settings):
    with pytest.raises(RecipeError, match="without labelled data"):
        prune(**settings, context={"dataset": None})


def recipe(*uses: str, **settings) -> Recipe:
    steps = tuple(StepChoice(use=use, settings=settings if use == "prune" else {}) for use in uses)
    return Recipe(
        schema_version=1,
        name="pruned",
        model=ModelChoice(name="demo"),
        data=DATA,
        steps=steps,
        targets=("ort-fp32",),
    )


def test_a_recipe_that_only_prunes_a_torch_network_is_refused_before_any_work():
    with pytest.raises(RecipeError, match="kind 'torch'"):
        make_plan(recipe("prune"), Path.cwd())


@pytest.mark.parametrize(("name", "value"), [("keep", 2.0), ("kepe", 0.5), ("importance", "l3")])
def test_wrong_settings_are_refused_before_any_work(name, value):
    with pytest.raises(InputError, match=name):
        make_plan(recipe("prune", "export", **{name: value}), Path.cwd())


def test_a_recipe_prunes_builds_and_scores_against_the_unpruned_network(tmp_path):
    chosen = msgspec.structs.replace(recipe("prune", "export", keep=0.5), bench=False)
    result = run(chosen, Path.cwd(), tmp_path, settings=BenchSettings(min_runs=2, min_seconds=0.0))
    baseline, engine = result.rows
    bundle = Bundle.open(engine.bundle)
    assert bundle.manifest.model.source.pruning
    assert bundle.manifest.checks[0].max_error < 1e-3
    assert engine.verification.fp32.value == pytest.approx(baseline.score, abs=1e-3)
    assert engine.verification.drop.value > 5.0
    assert any("GMAC" in note for note in result.notes)


def test_finetuning_defaults_are_those_of_training():
    step = STEPS.load("prune").step("prune")
    assert msgspec.convert({"finetune": {}}, step.settings).finetune == TrainSettings()
    assert step.settings().finetune is None


def test_images_that_choose_the_weights_are_not_trained_on(prune, monkeypatch):
    from edgeseg.training import loop

    seen = []
    train = loop.train

    def watch(module, images, held_out, *rest, **options):
        seen.append((images, held_out))
        return train(module, images, held_out, *rest, **options)

    monkeypatch.setattr(loop, "train", watch)
    prune(keep=0.7, finetune=FINETUNE, context={"limit": 8}, held_out=2)
    images, held_out = seen[0]
    assert (len(images), len(held_out)) == (6, 2)
    assert not set(images.ids) & set(held_out.ids)
    assert images.name == "train" and "held out" in held_out.name
