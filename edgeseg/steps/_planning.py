"""What the step `quantize` works with: its images, the network it calibrates, and the plan it measures."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from onnx import ModelProto

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.target import Target
from edgeseg.datasets.split import Split
from edgeseg.quantize.planner_tables import MethodTrial, PlannedPrecision
from edgeseg.quantize.ptq import Calibrated, calibrate
from edgeseg.quantize.schemes import SCHEMES, Scheme
from edgeseg.steps import Context

if TYPE_CHECKING:
    from edgeseg.datasets.pictures import Inputs
    from edgeseg.steps.quantize import Settings


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
        return SCHEMES[self.settings.scheme]

    def calibrate(self, network: ModelProto) -> Calibrated:
        return calibrate(network, self.inputs, self.scheme, self.settings.ptq, progress=self.context.progress)

    def network(self) -> ModelProto:
        """What is quantised: the float network, with its Swishes or with HardSwish fitted to them."""
        if self.settings.swish == "exact":
            return self.plain
        from edgeseg.quantize.hard_swish import fit_swishes, hard_swish

        ptq = self.settings.ptq
        fitted = fit_swishes(
            self.plain,
            self.inputs,
            engine=ptq.engine or self.scheme.probe,
            threads=ptq.threads,
            progress=self.context.progress,
        )
        return hard_swish(self.plain, fitted)


def make_plan(work: Work, images: Split) -> tuple[Calibrated, PlannedPrecision]:
    """The plan for `settings.target`, decided on images that neither calibrate nor validate."""
    from edgeseg.datasets.nearer import with_nearer
    from edgeseg.quantize.held_out_loss import HeldOut
    from edgeseg.quantize.methods import choose_methods
    from edgeseg.quantize.planner_trial import TargetLab
    from edgeseg.quantize.planner_verdict import plan_precision

    settings, progress = work.settings, work.context.progress
    assert settings.plan is not None
    told = f"{len(images)} images of {images.dataset}/{images.name}"
    if settings.plan.nearer:
        images, told = with_nearer(images), f"{told}, each with an enlarged part"
    held_out = HeldOut(work.plain, work.spec, work.context.camera_size, images, progress=progress)
    target = Target.parse(settings.target)
    keep = frozenset(settings.keep)
    network = work.network()
    calibrated = work.calibrate(network)
    trials: tuple[MethodTrial, ...] = ()
    with ExitStack() as labs:
        lab = labs.enter_context(TargetLab(calibrated, held_out, target, keep=keep))
        limits = settings.plan.limits(settings.budget)
        if settings.methods == "auto" and lab.loss(frozenset()).excess(limits) > 0:
            calibrated, trials = choose_methods(
                network, work.inputs, work.scheme, settings.ptq, lab.loss_of, progress=progress
            )
            lab = labs.enter_context(lab.like(calibrated))
        groups = [group for group in calibrated.groups if keep.isdisjoint(group.nodes)]
        planned = plan_precision(
            calibrated.model, groups, lab, settings.budget, settings.plan, progress=progress
        )
    return calibrated, msgspec.structs.replace(
        planned,
        target=settings.target,
        plan={**planned.plan, **dict.fromkeys(keep, "float")},
        held_out=told,
        labelled=held_out.labelled,
        methods=trials,
    )
