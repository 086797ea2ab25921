"""Plan -> bundles: load, the steps, one engine bundle per target."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeseg.core.bundle import Bundle, settings_key
from edgeseg.core.cache import cache_folder, engine_cache, forget_unused
from edgeseg.core.documents import writable_folder
from edgeseg.core.drafts import refuse_existing
from edgeseg.core.frame import Frame
from edgeseg.core.plan import Plan, PlannedStep, is_int8
from edgeseg.core.ports import Availability, Progress, silent
from edgeseg.core.preprocess import Size
from edgeseg.core.recipe import Recipe, TargetChoice
from edgeseg.core.target import Target
from edgeseg.core.versions import source_hash, versions
from edgeseg.core.whole import Scratch
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.errors import InputError
from edgeseg.flow.beforehand import require_folder, require_operators, require_tiles
from edgeseg.flow.data import Data, frames_for
from edgeseg.flow.latency import EngineStopwatch
from edgeseg.flow.load import load
from edgeseg.flow.plan import LISTS, check_images, outline, planned_target
from edgeseg.flow.source_files import portable, source_files
from edgeseg.flow.work import made, reusable
from edgeseg.steps import SAME, STEPS, Context, Selective, Step

REFERENCE = "ort-fp32"
TOOLS = ("torch", "timm", "segmentation-models-pytorch", "onnx", "onnxsim", "onnxscript")


def export(
    recipe: Recipe,
    base: Path,
    output: Path,
    *,
    overwrite: bool = False,
    trust_file: bool = False,
    device: Device = LOCAL,
    progress: Progress = silent,
) -> tuple[Bundle, ...]:
    """Make the engine bundles of a recipe in `output`, without scoring or timing them.

    Intermediate bundles are kept in the cache folder, so that another target of the same network
    starts from its graph. Raises what `make_plan` and the steps raise.

    Raises:
        BundleError: without `overwrite`, a bundle in `output` that is not what will come out.
    """
    plan, data = outline(recipe, base, scored=False, device=device)
    with _steps_folder(progress) as steps:
        maker = Maker(plan, data, steps, trust_file=trust_file, device=device, progress=progress)
        maker.require_places(output, overwrite=overwrite)
        check_images(plan, data, progress)
        return maker.engines(output, overwrite=overwrite)


@contextmanager
def _steps_folder(progress: Progress) -> Iterator[Path]:
    """In the cache folder, where what nobody has used for long goes; where nothing can be written there, a
    temporary one."""
    folder = cache_folder() / "steps"
    try:
        writable_folder(folder)
    except InputError as fault:
        progress(f"{fault.message}; a temporary folder is used. XDG_CACHE_HOME names another cache")
        with Scratch() as place:
            yield place
    else:
        for cache in (folder, engine_cache()):
            forget_unused(cache)
        yield folder


@dataclass(frozen=True)
class _Work:
    """A step that is to be done.

    Attributes:
        tools: versions that decide about its result, besides those of every step.
    """

    use: str
    settings: dict[str, Any]
    parent: Bundle
    context: Context
    tools: dict[str, str]

    @property
    def step(self) -> Step:
        step: Step = STEPS.load(self.use).step(self.use)
        return step

    @property
    def typed(self) -> Any:
        return msgspec.convert(self.settings, self.step.settings)

    @property
    def told(self) -> dict[str, Any]:
        """The settings without the place of a list: what it names counts."""
        lists = {key: Path(self.settings[key]).name for key in LISTS.get(self.use, ()) if self.settings[key]}
        return {**self.settings, **lists}


class Maker:
    """Makes the bundles of one plan.

    Args:
        steps_folder: where intermediate bundles are kept and found again.
        device: where engines are made, run and timed.
    """

    def __init__(
        self,
        plan: Plan,
        data: Data,
        steps_folder: Path,
        *,
        trust_file: bool = False,
        device: Device = LOCAL,
        progress: Progress = silent,
    ) -> None:
        self.plan = plan
        self.data = data
        self.steps_folder = steps_folder
        self.trust_file = trust_file or plan.model.ref.runs_code
        self.device = device
        self.progress = progress
        self._tools = {**versions(*TOOLS), "sources": source_hash()}
        self._hashes: dict[tuple[Frame, Size], str] = {}

    def source(self) -> Bundle:
        """The network as it was given: a `torch` bundle, or an `onnx` bundle for an ONNX file.

        The user's Python file is run each time: what it reads is known to it alone.
        """
        choice = self.plan.model
        self.progress("loading the network")
        bundle = made(
            self._place("load", self._source_key),
            lambda draft: load(choice, self.data, draft, trust_file=self.trust_file),
            key=self._source_key,
            settings=portable(choice),
            again=choice.ref.runs_code,
            progress=self.progress,
        )
        return bundle

    @cached_property
    def _source_key(self) -> str:
        choice = self.plan.model
        data = [msgspec.to_builtins(self.data.classes), self.data.ignore_index, str(self.data.frame)]
        given = {"model": portable(choice), "files": source_files(choice), "data": data}
        return settings_key("", "load", given, self._tools)

    def graph(self) -> Bundle:
        """The ONNX bundle after all steps of the recipe."""
        bundle = self.source()
        context = self.context(bundle)
        for step in self.plan.steps:
            bundle = self._step(step, bundle, context)
        if self.plan.calibrates:
            self._require_operators(bundle)
        return bundle

    def _require_operators(self, graph: Bundle) -> None:
        """Before any image calibrates or trains."""
        import onnx

        network = onnx.load(str(graph.file(graph.manifest.graph)))
        output = graph.manifest.model.postprocess.output
        targets = [target.target for target in self.plan.targets]
        require_operators(network, targets, self.device, trained=self.plan.trains_int8, output=output)

    def unpruned(self, output: Path) -> Bundle | None:
        """The network before the first `prune`, as an FP32 engine of this machine; None: none is pruned."""
        uses = [step.use for step in self.plan.steps]
        if "prune" not in uses:
            return None
        bundle = self.source()
        context = self.context(bundle)
        before = self.plan.steps[: uses.index("prune")]
        for step in (*before, self.plan.steps[uses.index("export")]):
            bundle = self._step(step, bundle, context)
        here = Maker(self.plan, self.data, self.steps_folder, progress=self.progress)
        return here.engine(bundle, REFERENCE, output)

    def quantized(self, graph: Bundle, target: Target) -> Bundle:
        """The Q/DQ bundle that the engine of an int8 target is made of."""
        context = self.context(graph)
        for step in self.plan.int8_steps:
            graph = self._step(step, graph, context, target)
        return graph

    def engines(self, output: Path, *, overwrite: bool = True) -> tuple[Bundle, ...]:
        """One bundle per target, at `output/<model>-<target>`."""
        graph = self.graph()
        return tuple(self.engine(graph, t.target, output, overwrite=overwrite) for t in self.plan.targets)

    def engine(self, graph: Bundle, target: str, output: Path, *, overwrite: bool = True) -> Bundle:
        if is_int8(target):
            graph = self.quantized(graph, Target.parse(target))
        work = self._build(target, graph)
        return self._made(lambda _: self._engine_place(target, output), work, overwrite)

    def require_places(self, output: Path, *, overwrite: bool = True) -> None:
        """Say before any work what stands where a bundle will be put.

        Raises:
            BundleError: something that is no bundle, or, without `overwrite`, one that is not what will come
                out, as far as what is kept of its steps tells.
            InputError: no folder can be made there.
        """
        require_folder(output)
        for target in self.plan.targets:
            place = self._engine_place(target.target, output)
            if place.exists() and (overwrite or not self._made_before(target.target, place)):
                refuse_existing(place, overwrite)

    def _made_before(self, target: str, place: Path) -> bool:
        """Whether every step up to the bundle at `place` is kept, so that it will be used again."""
        found = reusable(self._place("load", self._source_key), self._source_key)
        for step in (*self.plan.steps, *(self.plan.int8_steps if is_int8(target) else ())):
            if found is None:
                return False
            key = self._key(self._work(step, found, self.context(found), Target.parse(target)))
            found = reusable(self._place(step.use, key), key)
        return found is not None and reusable(place, self._key(self._build(target, found))) is not None

    def _engine_place(self, target: str, output: Path) -> Path:
        return output / f"{self.plan.model.ref.name}-{Target.parse(target).folder}"

    def _build(self, target: str, graph: Bundle) -> _Work:
        can = self._availability(target)
        return _Work(
            use="build",
            settings={"target": target, "confidence": self.plan.recipe.confidence},
            parent=graph,
            context=self.context(graph),
            tools={"engine": can.version, "built": f"{can.build} {self.device.name} {can.device}"},
        )

    def _availability(self, target: str) -> Availability:
        return planned_target(TargetChoice(target=target), self.device).availability

    def seen_by(self, bundle: Bundle) -> Data:
        """The data, its images as the frames of a network."""
        return self.data.seen_as(bundle.manifest.model.preprocess.frame)

    def context(self, bundle: Bundle) -> Context:
        spec = bundle.manifest.model
        window = self.plan.window or spec.input_size
        tiles = self.plan.recipe.cut
        require_tiles(spec.preprocess, tiles)
        place = spec.preprocess.place(window, spec.input_size)
        if tiles and place.resized and spec.postprocess.upsample != "scores":
            raise InputError(
                f"tiles of {window[0]}x{window[1]} are resized to the network's input, and upsample is "
                f"{spec.postprocess.upsample}",
                expected="upsample=scores, or tiles of the input size: scores are averaged pixel by pixel",
            )
        choice = self.plan.recipe.data
        data = self.seen_by(bundle)
        return Context(
            camera_size=window,
            frame_size=(self.plan.camera_size or window) if tiles else None,
            tiles=tiles,
            region=spec.preprocess.region,
            frames=frames_for(data, choice, spec.preprocess, window, tiles),
            work=self.steps_folder / "work",
            cache=engine_cache(),
            dataset=data.dataset,
            train=choice.train,
            validation=choice.validation,
            limit=choice.limit,
            trusted=self.plan.model if self.trust_file else None,
            device=self.device,
            stopwatch=EngineStopwatch(engine_cache(), self.device),
            progress=self.progress,
        )

    def _step(
        self, step: PlannedStep, parent: Bundle, context: Context, target: Target | None = None
    ) -> Bundle:
        return self._made(partial(self._place, step.use), self._work(step, parent, context, target), True)

    def _work(self, step: PlannedStep, parent: Bundle, context: Context, target: Target | None) -> _Work:
        settings = dict(step.settings)
        if step.use == "export":
            settings["batch"] = self.plan.recipe.batch
        if step.use == "quantize" and target is not None:
            from edgeseg.quantization.schemes import scheme_for

            settings["scheme"] = scheme_for(target.engine).name
            if settings["plan"] is not None:
                limits = self.plan.recipe.budget
                drops = {name: getattr(limits, name) for name in ("max_drop", "max_class_drop", "any_class")}
                settings |= {"target": str(target), "budget": drops}
        measured = settings.get("target", "")
        if step.use == "quantize" and not measured:
            measured = self._probe(settings)
        return _Work(step.use, settings, parent, context, self._measures(measured))

    def _probe(self, settings: dict[str, Any]) -> str:
        """The target whose engine collects ranges; empty: that of this machine, which checks graphs."""
        from edgeseg.quantization.ranges.probe import ONNXRUNTIME
        from edgeseg.quantization.schemes import scheme_named

        engine = settings["ptq"]["engine"] or scheme_named(settings["scheme"]).probe
        return "" if engine == ONNXRUNTIME else f"{engine}-fp32"

    def _measures(self, target: str) -> dict[str, str]:
        """What a step that times or scores on a target depends on."""
        if not target:
            return {}
        can = self._availability(target)
        return {"engine": can.version, "measured on": f"{self.device.name} {can.device}"}

    def _key(self, work: _Work) -> str:
        context = work.context
        inputs = {
            **work.told,
            "camera": (context.camera_size, context.frame_size, context.tiles),
            "frames": self._frames(work),
            "samples": self._learnt_from(work.step, work.typed, context),
        }
        return settings_key(work.parent.id, work.use, inputs, {**self._tools, **work.tools})

    def _frames(self, work: _Work) -> Any:
        """What the frames of a step follow from: of images their pixels, which are read once; of generated
        ones, besides edgeseg's sources and the camera, the packages that draw them."""
        from edgeseg.graph.typed import MAXIMA_FRAMES

        if self.data.dataset is None:
            return versions("numpy", "pillow")
        seen = work.parent.manifest.model.preprocess.frame, work.context.camera_size
        if seen not in self._hashes:
            frames = work.context.frames.take(max(self.plan.recipe.batch, MAXIMA_FRAMES))
            self._hashes[seen] = hashlib.sha256(np.ascontiguousarray(frames).data).hexdigest()
        return self._hashes[seen]

    def _made(self, destination: Callable[[str], Path], work: _Work, overwrite: bool) -> Bundle:
        key = self._key(work)
        context = dataclasses.replace(work.context, work=work.context.work / key[:16])
        bundle = made(
            destination(key),
            lambda draft: work.step.run(work.parent, work.typed, draft, context),
            key=key,
            settings=work.told,
            parent=work.parent,
            overwrite=overwrite,
            progress=self.progress,
        )
        shutil.rmtree(context.work, ignore_errors=True)
        return bundle

    def _learnt_from(self, step: Step, settings: Any, context: Context) -> dict[str, str]:
        """What the images hold that decide what a step makes."""
        if isinstance(step, Selective):
            splits = enumerate(step.images(settings, context))
            return {f"{number} {s.name}": s.fingerprint(self.progress) for number, s in splits}
        return self._samples if step.produces in ("torch", "qdq", SAME) else {}

    @cached_property
    def _samples(self) -> dict[str, str]:
        """What the splits hold that steps on a torch network may learn from."""
        dataset, choice = self.data.dataset, self.plan.recipe.data
        if dataset is None:
            return {}
        known = dataset.splits()
        names = [n for n in (choice.train, choice.validation) if n in known] if dataset.classes else known
        return {name: dataset.split(name).limit(choice.limit).fingerprint(self.progress) for name in names}

    def _place(self, use: str, key: str) -> Path:
        return self.steps_folder / f"{use}-{key[:16]}"
