"""What the step `quantize` works with: its images, the network it calibrates, and the plan it measures."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from onnx import ModelProto

from edgeseg.core.int8 import Scheme
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.target import Target
from edgeseg.datasets.calibration import spread
from edgeseg.datasets.split import Split
from edgeseg.metrics.tasks import metric_of
from edgeseg.quantization.planner.tables import MethodTrial, PlannedPrecision
from edgeseg.quantization.ptq import Calibrated, calibrate
from edgeseg.quantization.ranges.probe import OpenProbe, opener
from edgeseg.quantization.schemes import scheme_named
from edgeseg.steps import Context

if TYPE_CHECKING:
    from edgeseg.core.recipe import Budget
    from edgeseg.datasets.pictures import Inputs
    from edgeseg.quantization.placement.groups import Group
    from edgeseg.quantization.planner.held_out_loss import HeldOut
    from edgeseg.quantization.planner.settings import PlanSettings
    from edgeseg.quantization.planner.trial import TargetEvaluator
    from edgeseg.steps._quantize_settings import Settings


def validation_split(context: Context) -> Split | None:
    """The images that score; None: the data has no such split."""
    assert context.dataset is not None
    found = context.validation in context.dataset.splits()
    return context.dataset.split(context.validation) if found else None


def held_out_split(settings: Settings, images: Split, context: Context) -> Split:
    """The images that decide between plans. Raises as `held_out_images`."""
    from edgeseg.datasets.held_out import held_out_images

    assert context.dataset is not None and settings.plan is not None
    validation = validation_split(context)
    return held_out_images(
        context.dataset,
        images.name,
        (images, validation) if validation else (images,),
        count=settings.plan.images,
        listed=Path(settings.held_out) if settings.held_out else None,
        progress=context.progress,
    )


class Work(NamedTuple):
    """What every part of the step needs."""

    plain: ModelProto
    inputs: Inputs
    spec: ModelSpec
    settings: Settings
    context: Context

    @property
    def scheme(self) -> Scheme:
        return scheme_named(self.settings.scheme)

    @property
    def open_probe(self) -> OpenProbe:
        """How float networks are run."""
        ptq = self.settings.ptq
        return opener(ptq.engine or self.scheme.probe, ptq.threads, self.context.device)

    def calibrate(self, network: ModelProto) -> Calibrated:
        context = self.context
        return calibrate(
            network,
            self.inputs,
            self.scheme,
            self.settings.ptq,
            device=context.device,
            progress=context.progress,
        )

    def network(self) -> ModelProto:
        """What is quantised: the float network, with its Swishes or with HardSwish fitted to them."""
        if self.settings.swish == "exact":
            return self.plain
        from edgeseg.quantization.hard_swish import fit_swishes, hard_swish

        fitted = fit_swishes(
            self.plain,
            self.inputs,
            open_probe=self.open_probe,
            progress=self.context.progress,
        )
        return hard_swish(self.plain, fitted)

    @property
    def limits(self) -> tuple[Budget, PlanSettings]:
        assert self.settings.plan is not None
        return self.settings.budget, self.settings.plan

    def evaluator(self, calibrated: Calibrated, held_out: HeldOut) -> TargetEvaluator:
        from edgeseg.quantization.planner.trial import TargetEvaluator

        keep = frozenset(self.settings.keep)
        target, device = Target.parse(self.settings.target), self.context.device
        return TargetEvaluator(calibrated, held_out, target, keep=keep, device=device)

    def switched(self, calibrated: Calibrated) -> list[Group]:
        """What a plan may switch."""
        keep = frozenset(self.settings.keep)
        return [group for group in calibrated.groups if keep.isdisjoint(group.nodes)]


def make_plan(work: Work, images: Split) -> tuple[Calibrated, PlannedPrecision]:
    """The plan for `settings.target`, decided on images that neither calibrate nor validate."""
    from edgeseg.datasets.zoomed_crops import with_zoomed_crops
    from edgeseg.quantization.planner.held_out_loss import HeldOut

    settings = work.settings
    assert settings.plan is not None
    told = f"{len(images)} images of {images.dataset}/{images.name}"
    if videos := len(set(images.sequences)):
        told += (
            f" from {videos} sequences" if videos > 1 else " from 1 sequence, which tells little of others"
        )
    if settings.plan.zoomed_crops:
        images, told = with_zoomed_crops(images), f"{told}, each with an enlarged part"
    images = work.context.seen(images, few=True)
    held_out = HeldOut(
        work.plain,
        work.spec,
        work.context.camera_size,
        images,
        open_probe=work.open_probe,
        progress=work.context.progress,
    )
    network = work.network()
    every = work.inputs.split
    few = spread(every, settings.plan.first)
    found = None
    if 0 < len(few) < len(every):
        found = _with_few(work._replace(inputs=work.inputs.of(few)), network, held_out)
    calibrated, planned = found or _searched(work, network, held_out)
    count = f"{len(few)} of {len(every)}" if found else str(len(every))
    return calibrated, msgspec.structs.replace(
        planned,
        target=settings.target,
        metric=metric_of(work.spec).metric,
        plan={**planned.plan, **dict.fromkeys(settings.keep, "float")},
        held_out=told,
        calibration=f"{count} images of {every.dataset}/{every.name}",
        labelled=held_out.labelled,
    )


def _with_few(
    work: Work, network: ModelProto, held_out: HeldOut
) -> tuple[Calibrated, PlannedPrecision] | None:
    """The plan where so few images are enough."""
    from edgeseg.quantization.planner.verdict import plan_with_few

    calibrated = work.calibrate(network)
    with work.evaluator(calibrated, held_out) as evaluator:
        planned = plan_with_few(
            calibrated.model,
            work.switched(calibrated),
            evaluator,
            *work.limits,
            progress=work.context.progress,
        )
    return None if planned is None else (calibrated, planned)


def _searched(work: Work, network: ModelProto, held_out: HeldOut) -> tuple[Calibrated, PlannedPrecision]:
    """The plan a search finds, with the methods that suit the network."""
    from edgeseg.quantization.methods import choose_methods
    from edgeseg.quantization.planner.verdict import plan_precision

    calibrated = work.calibrate(network)
    trials: tuple[MethodTrial, ...] = ()
    with ExitStack() as evaluators:
        evaluator = evaluators.enter_context(work.evaluator(calibrated, held_out))
        budget, settings = work.limits
        if (
            work.settings.methods == "auto"
            and evaluator.loss(frozenset()).excess(settings.limits(budget)) > 0
        ):
            calibrated, trials = choose_methods(
                network,
                work.inputs,
                work.scheme,
                work.settings.ptq,
                evaluator.loss_of,
                device=work.context.device,
                progress=work.context.progress,
            )
            evaluator = evaluators.enter_context(evaluator.like(calibrated))
        planned = plan_precision(
            calibrated.model,
            work.switched(calibrated),
            evaluator,
            budget,
            settings,
            progress=work.context.progress,
        )
    return calibrated, msgspec.structs.replace(planned, methods=trials)
