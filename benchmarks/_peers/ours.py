"""edgeseg's contestants: engine bundles, made here or given by path."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import msgspec

from _peers.material import THREADS, Feeds, Material
from _peers.tools import MAX_DROP, Opened, opened_graph
from edgeseg.core.bundle import Bundle
from edgeseg.core.calibration import CalibrationList, Entry
from edgeseg.core.recipe import Budget, Recipe, StepChoice
from edgeseg.datasets import Split

BUNDLE = "bundle"
LISTS = {"list": "calibration", "held_out": "held_out"}
"""Settings of the step `quantize` and the lists that they name."""


def prepare(material: Material) -> None:
    """The float graph that all tools start from, the lists of images, and edgeseg's cached float bundle."""
    material.folder.mkdir(parents=True, exist_ok=True)
    for name in LISTS.values():
        _list(getattr(material, name)).write(material.folder / f"{name}.txt", overwrite=True)
    graph = _maker(material, material.recipe("openvino-bf16")).graph()
    shutil.copyfile(graph.file(graph.manifest.graph), material.graph)


def bf16(material: Material, folder: Path) -> None:
    _build(material, material.recipe("openvino-bf16"), folder)


def ptq(material: Material, folder: Path) -> None:
    """From the float graph to the Q/DQ graph, as `quantize` of the library does it."""
    import onnx

    from edgeseg.quantization.ptq import quantize
    from edgeseg.quantization.schemes import scheme_for

    graph = onnx.load(str(material.graph))
    found = quantize(graph, Feeds(material.calibration), scheme_for("openvino"))
    onnx.save(found.model, str(folder / "quantized.onnx"))


def ptq_bundle(material: Material, folder: Path) -> None:
    """The same by a recipe, up to the engine that is timed and scored."""
    step = _with_lists(material, StepChoice(use="quantize"))
    _build(material, material.recipe("openvino-int8", step), folder)


def exported(material: Material, folder: Path) -> None:
    """The float bundle that the planner starts from, and no plan or training of an earlier run."""
    _maker(material, _planned(material)).graph()
    for use in ("quantize", "qat"):
        for old in (material.folder / "steps").glob(f"{use}-*"):
            shutil.rmtree(old)


def planned(material: Material, folder: Path) -> None:
    """`edgeseg quantize --budget-drop 0.5`: calibration, the search, and the engine."""
    _build(material, _planned(material), folder)


def has_qat(material: Material) -> bool:
    return bool(material.network.qat)


def qat(material: Material, folder: Path) -> None:
    """The steps of the shipped recipe, with the lists of images that all tools have."""
    from edgeseg.flow.plan import read_recipe
    from edgeseg.flow.resources import recipes

    shipped = read_recipe(recipes()[material.network.qat])
    steps = [
        _with_lists(material, s) if s.use == "quantize" else s for s in shipped.steps if s.use != "export"
    ]
    recipe = material.recipe("openvino-int8", *steps)
    _build(material, msgspec.structs.replace(recipe, budget=shipped.budget), folder)


def open_bundle(material: Material, folder: Path) -> Opened:
    """The deploy engine for frames; for `network` the plain one, with Q/DQ pairs where it has them."""
    from edgeseg.runtime import load

    bundle = Bundle.open(folder / BUNDLE)
    session = load(bundle.path, threads=THREADS, check=False)
    last = [0.0]

    def frame(image):
        outputs, last[0] = session.timed(image)
        return session.task.found(outputs)

    quantization = bundle.manifest.quantization
    hint = "" if quantization else "bf16"
    plain = opened_graph(_plain(bundle, folder), material, hint)
    return Opened(plain.network, frame, partial(last.__getitem__, 0), plain.precision)


def engine_files(material: Material, folder: Path) -> tuple[Path, ...]:
    bundle = Bundle.open(folder / BUNDLE)
    entry = bundle.file(bundle.engine.entry)
    return tuple(entry.parent.glob(f"{entry.stem}.*"))


def give(folder: Path, bundle: Path) -> None:
    """A bundle from the command line becomes the contestant's own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / BUNDLE).symlink_to(bundle.resolve())


def _plain(bundle: Bundle, folder: Path) -> Path:
    """What OpenVINO gets inside the deploy graph: the Q/DQ graph; of a float bundle the graph with merged
    upsampling."""
    import onnx

    from edgeseg.graph.upsampling import merge_upsampling

    if bundle.manifest.quantization:
        return bundle.file(bundle.manifest.quantization.graph)
    file = folder / "merged.onnx"
    if not file.exists():
        onnx.save(merge_upsampling(onnx.load(str(bundle.file(bundle.manifest.graph)))), str(file))
    return file


def _with_lists(material: Material, step: StepChoice) -> StepChoice:
    given = {k: v for k, v in step.settings.items() if k != "images"}
    lists = {k: str((material.folder / f"{v}.txt").resolve()) for k, v in LISTS.items()}
    if "plan" not in given:
        del lists["held_out"]
    return msgspec.structs.replace(step, settings={**given, **lists})


def _planned(material: Material) -> Recipe:
    step = _with_lists(material, StepChoice(use="quantize", settings={"plan": {}}))
    recipe = material.recipe("openvino-int8", step)
    return msgspec.structs.replace(recipe, budget=Budget(max_drop=100 * MAX_DROP))


def _maker(material: Material, recipe: Recipe):
    from edgeseg.flow.make import Maker
    from edgeseg.flow.plan import make_plan

    plan, data = make_plan(recipe, Path.cwd(), scored=False)
    return Maker(plan, data, material.folder / "steps")


def _build(material: Material, recipe: Recipe, folder: Path) -> None:
    (bundle,) = _maker(material, recipe).engines(folder / "engines")
    bundle.path.rename(folder / BUNDLE)


def _list(split: Split) -> CalibrationList:
    samples = split.sample_list().samples
    entries = tuple(Entry(s.id, s.sha256) for s in samples)
    return CalibrationList(
        dataset=split.dataset, split=split.name, entries=entries, made_by="benchmarks/peers.py"
    )
