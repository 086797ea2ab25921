"""Plan -> bundles: load, the steps, one engine bundle per target."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from edgeseg.core.bundle import Bundle, settings_key
from edgeseg.core.cache import cache_folder
from edgeseg.core.ports import Progress, silent
from edgeseg.core.recipe import Recipe
from edgeseg.core.target import Target
from edgeseg.core.versions import source_hash, versions
from edgeseg.flow.data import Data, frames_for
from edgeseg.flow.load import load
from edgeseg.flow.plan import Plan, PlannedStep, make_plan
from edgeseg.flow.work import made
from edgeseg.steps import STEPS, Context

TOOLS = ("torch", "timm", "segmentation-models-pytorch", "onnx", "onnxsim", "onnxscript")


def export(
    recipe: Recipe,
    base: Path,
    output: Path,
    *,
    overwrite: bool = False,
    trust_file: bool = False,
    progress: Progress = silent,
) -> tuple[Bundle, ...]:
    """Make the engine bundles of a recipe in `output`, without scoring or timing them.

    Intermediate bundles are kept in the cache folder, so that another target of the same network
    starts from its graph. Raises what `make_plan` and the steps raise.
    """
    plan, data = make_plan(recipe, base)
    return Maker(plan, data, cache_folder() / "steps", trust_file=trust_file, progress=progress).engines(
        output, overwrite=overwrite
    )


class Maker:
    """Makes the bundles of one plan.

    Args:
        steps_folder: where intermediate bundles are kept and found again.
    """

    def __init__(
        self,
        plan: Plan,
        data: Data,
        steps_folder: Path,
        *,
        trust_file: bool = False,
        progress: Progress = silent,
    ) -> None:
        self.plan = plan
        self.data = data
        self.steps_folder = steps_folder
        self.trust_file = trust_file or ".py" in plan.model.name
        self.progress = progress
        self._tools = {**versions(*TOOLS), "sources": source_hash()}

    def source(self) -> Bundle:
        """The network as it was given: a `torch` bundle, or an `onnx` bundle for an ONNX file."""
        choice = self.plan.model
        settings = msgspec.to_builtins(choice)
        files = [
            hashlib.sha256(Path(p).read_bytes()).hexdigest() for p in _files(choice.name, choice.weights)
        ]
        data = [msgspec.to_builtins(self.data.classes), self.data.ignore_index]
        key = settings_key("", "load", {"model": settings, "files": files, "data": data}, self._tools)
        self.progress("loading the network")
        return made(
            self._place("load", key),
            lambda draft: load(choice, self.data, draft, trust_file=self.trust_file),
            key=key,
            settings=settings,
        )

    def graph(self) -> Bundle:
        """The ONNX bundle after all steps of the recipe."""
        bundle = self.source()
        context = self.context(bundle)
        for step in self.plan.steps:
            bundle = self._step(step, bundle, context)
        return bundle

    def engines(self, output: Path, *, overwrite: bool = True) -> tuple[Bundle, ...]:
        """One bundle per target, at `output/<model>-<target>`."""
        graph = self.graph()
        return tuple(self.engine(graph, t.target, output, overwrite=overwrite) for t in self.plan.targets)

    def engine(self, graph: Bundle, target: str, output: Path, *, overwrite: bool = True) -> Bundle:
        planned = next(t for t in self.plan.targets if t.target == target)
        settings = {"target": target, "confidence": self.plan.recipe.confidence}
        context = self.context(graph)
        engine = {"engine": planned.availability.version, "built": str(planned.availability.build)}
        place = output / f"{graph.manifest.model.name}-{Target.parse(target).folder}"
        return self._made(lambda _: place, "build", settings, graph, context, engine, overwrite)

    def context(self, bundle: Bundle) -> Context:
        spec = bundle.manifest.model
        camera = self.plan.camera_size or spec.input_size
        spec.preprocess.place(camera, spec.input_size)
        choice = self.plan.recipe.data
        return Context(
            camera_size=camera,
            frames=frames_for(self.data, choice, spec.preprocess, camera),
            work=self.steps_folder / "work",
            cache=cache_folder() / "engines",
            dataset=self.data.dataset,
            train=choice.train,
            validation=choice.validation,
            trust_file=self.trust_file,
            progress=self.progress,
        )

    def _step(self, step: PlannedStep, parent: Bundle, context: Context) -> Bundle:
        settings = dict(step.settings)
        if step.use == "export":
            settings["batch"] = self.plan.recipe.batch
        return self._made(partial(self._place, step.use), step.use, settings, parent, context, {}, True)

    def _made(
        self,
        destination: Callable[[str], Path],
        use: str,
        settings: dict[str, Any],
        parent: Bundle,
        context: Context,
        tools: dict[str, str],
        overwrite: bool,
    ) -> Bundle:
        step = STEPS.load(use).step(use)
        frames = hashlib.sha256(context.frames.take(1).tobytes()).hexdigest()
        inputs = {**settings, "camera": context.camera_size, "frames": frames}
        key = settings_key(parent.id, use, inputs, {**self._tools, **tools})
        typed = msgspec.convert(settings, step.settings)
        context = dataclasses.replace(context, work=context.work / key[:16])
        bundle = made(
            destination(key),
            lambda draft: step.run(parent, typed, draft, context),
            key=key,
            settings=settings,
            parent=parent,
            overwrite=overwrite,
        )
        shutil.rmtree(context.work, ignore_errors=True)
        return bundle

    def _place(self, use: str, key: str) -> Path:
        return self.steps_folder / f"{use}-{key[:16]}"


def _files(name: str, weights: str) -> list[str]:
    network = name.rpartition(":")[0] if ".py:" in name else name
    return [path for path in (network, weights) if path and Path(path).is_file()]
