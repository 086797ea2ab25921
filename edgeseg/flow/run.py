"""Run a recipe: bundles, then accuracy and latency of each engine, then a verdict."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import msgspec

from edgeseg.core.bundle import Bundle
from edgeseg.core.documents import read_json, write_document
from edgeseg.core.exclusive import alone
from edgeseg.core.measurement import Measurement
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.plan import Plan
from edgeseg.core.ports import Progress, silent
from edgeseg.core.recipe import Budget, Recipe
from edgeseg.core.verdict import Verdict, combine
from edgeseg.datasets.split import Split
from edgeseg.device.bench import BenchSettings, bench_call
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.errors import MissingDependency, MissingDevice
from edgeseg.evaluation.baseline import NAME, torch_baseline
from edgeseg.evaluation.labels import labelled_split
from edgeseg.evaluation.verify import Verification, verify, verify_call
from edgeseg.flow.beforehand import require_folder
from edgeseg.flow.data import Data
from edgeseg.flow.make import Maker
from edgeseg.flow.plan import check_images, outline
from edgeseg.flow.results import Row, RunResult, judge
from edgeseg.metrics.tasks import metric_of
from edgeseg.runtime.tiled import repeated

REPORT = "report.json"


def run(
    recipe: Recipe,
    base: Path,
    folder: Path,
    *,
    settings: BenchSettings | None = None,
    trust_file: bool = False,
    device: Device = LOCAL,
    progress: Progress = silent,
) -> RunResult:
    """Run a recipe in `folder`; what an earlier run of the same recipe finished there is used again.

    Bundles go to `folder/bundles`, steps to `folder/steps`, `report.json` tells the result. Latency is
    measured anew each time: it belongs to the moment.

    Accuracy is compared with the network's own FP32 graph; in a recipe that prunes, with the network before.

    Raises what `make_plan` and the steps raise, and InputError when another process works in `folder`.
    """
    settings = settings or BenchSettings()
    settings.require_sane()
    plan, data = outline(recipe, base, device=device)
    maker = Maker(plan, data, folder / "steps", trust_file=trust_file, device=device, progress=progress)
    require_folder(folder)
    maker.require_places(folder / "bundles")
    for note in plan.notes:
        progress(note)
    check_images(plan, data, progress)
    with alone(folder, "runs a recipe in"):
        return _run(maker, data, folder, settings, progress)


def _run(maker: Maker, data: Data, folder: Path, settings: BenchSettings, progress: Progress) -> RunResult:
    plan, recipe = maker.plan, maker.plan.recipe
    source, graph = maker.source(), maker.graph()
    unpruned = maker.unpruned(folder / "reference")
    prove = Prover(
        plan, maker.data, source.manifest.model, folder, settings, progress, maker.device, unpruned
    )
    rows = [prove.baseline(source, maker)] if source.manifest.kind == "torch" and not _trains(plan) else []
    for target in plan.targets:
        row = prove.engine(maker.engine(graph, target.target, folder / "bundles"))
        verdict = row.verdict.allowed() if target.unmeasured == "allow" else row.verdict
        rows.append(msgspec.structs.replace(row, verdict=verdict))
    result = RunResult(
        recipe=recipe.name,
        network=source.manifest.model.name,
        metric=metric_of(source.manifest.model).metric,
        data=f"{recipe.data.name}/{recipe.data.validation}" if data.dataset else "",
        rows=tuple(rows),
        verdict=combine(tuple(row.verdict for row in rows)),
        notes=(*graph.manifest.notes, *(n for r in rows if r.verification for n in r.verification.notes)),
    )
    write_document(folder / REPORT, result)
    return result


class Prover:
    """Scores and times the engines of one plan.

    Args:
        spec: the network they are made from: with which frames and labels all of them are scored.
        reference: the engine that accuracy is compared with; None: each bundle's own FP32 graph.
    """

    def __init__(
        self,
        plan: Plan,
        data: Data,
        spec: ModelSpec,
        folder: Path,
        settings: BenchSettings,
        progress: Progress,
        device: Device,
        reference: Bundle | None = None,
    ) -> None:
        self.plan = plan
        self.data = data
        self.spec = spec
        self.folder = folder
        self.device = device
        self.reference = reference
        self.settings = settings
        self.progress = progress

    def baseline(self, source: Bundle, maker: Maker) -> Row:
        """PyTorch eager fp32 with NumPy pre- and post-processing, on the same samples and clock."""
        context = maker.context(source)
        call = torch_baseline(source, context.camera_size, tiles=context.tiles, trusted=context.trusted)
        score = measurement = None
        spec = source.manifest.model
        if self.data.dataset is not None and self.data.dataset.classes:
            size = None if context.tiles else context.camera_size
            score = verify_call(call, spec, size, self._labelled, progress=self.progress)
        if self.plan.recipe.bench:
            frames = context.frames.take(1)
            if context.frame_size:
                frames = repeated(frames, spec.preprocess.frame.shape(1, *context.frame_size))
            measurement = bench_call(call, frames, NAME, self.settings, self.progress)
        return Row(
            target=NAME,
            made="torch",
            size_mb=sum(f.size for f in source.manifest.files.values()) / 1e6,
            score=score,
            measurement=measurement,
            verdict=judge("", None, measurement, Budget()) if measurement else Verdict(status="pass"),
        )

    def engine(self, bundle: Bundle) -> Row:
        budget = self.plan.recipe.budget
        size_mb = bundle.engine_size() / 1e6 if bundle.engine.entry else None
        verification = measurement = absent = None
        metric = metric_of(bundle.manifest.model).metric
        if bundle.manifest.kind == "deferred":
            status = bundle.manifest.build
            absent = Verdict(status="unmeasured", reasons=status.sentences() if status else ())
        else:
            try:
                verification = self._verify(bundle)
                measurement = self._bench(bundle)
            except (MissingDependency, MissingDevice) as missing:
                absent = Verdict(status="unmeasured", reasons=(missing.message,))
        return Row(
            target=bundle.engine.target,
            bundle=str(bundle.path),
            made=bundle.manifest.kind,
            size_mb=size_mb,
            score=verification.value if verification else None,
            verification=verification,
            measurement=measurement,
            verdict=judge(metric, verification, measurement, budget, size_mb, absent=absent),
        )

    def _verify(self, bundle: Bundle) -> Verification | None:
        if self.data.dataset is None or not self.data.dataset.classes:
            return None
        saved = self.folder / "verified" / f"{bundle.id[:32]}.json"
        budget = self.plan.recipe.budget
        choice = self.plan.recipe.data
        if saved.is_file():
            found = read_json(saved, Verification)
            then = (found.data, found.limit, found.sample_list, found.budget, found.reference_id)
            if then == (*self._samples, budget, self.reference.id if self.reference else ""):
                return found
        self.progress(f"{bundle.engine.target}: accuracy")
        result = verify(
            bundle.path,
            dataset=self.data.dataset,
            split=choice.validation,
            limit=choice.limit,
            budget=budget,
            reference=self.reference.path if self.reference else None,
            device=self.device,
            reference_device=LOCAL,
            progress=self.progress,
        )
        write_document(saved, result)
        return result

    @cached_property
    def _labelled(self) -> Split:
        """What `verify` scores."""
        assert self.data.dataset is not None
        choice = self.plan.recipe.data
        return labelled_split(self.data.dataset, choice.validation, choice.limit, self.spec)

    @cached_property
    def _samples(self) -> tuple[str, int, str]:
        """The frames to score, the limit on them, and what they hold."""
        split, limit = self._labelled, self.plan.recipe.data.limit
        return f"{split.dataset}/{split.name}", limit, split.fingerprint(self.progress)

    def _bench(self, bundle: Bundle) -> Measurement | None:
        if not self.plan.recipe.bench:
            return None
        self.progress(f"{bundle.engine.target}: latency")
        limit = self.plan.recipe.budget.max_p99_ms
        return self.device.bench(bundle.path, self.settings.judging(limit), self.progress)


def _trains(plan: Plan) -> bool:
    return any(step.use == "train" for step in plan.steps)
