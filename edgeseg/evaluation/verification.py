"""What `verify` found out, as data that outlives the process, and what it means against a budget."""

from __future__ import annotations

import math
from typing import ClassVar

import msgspec

from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.plugins import unknown
from edgeseg.core.recipe import Budget
from edgeseg.core.target import Target
from edgeseg.core.verdict import Verdict
from edgeseg.errors import InputError
from edgeseg.metrics.tasks import PRECISION, RECALL

FALL = 1.0
"""Points of the metric: a class that lost more for certain is named beside the verdict."""
IDLE = "the engine did not run"
"""Why nothing was measured for a limit."""


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy of one engine against labels, over the whole dataset, in 0-1.

    A class without a labelled pixel, or thing, in the whole set has None, and does not count in the means;
    pixels that are wrongly given to it count against the others.

    Attributes:
        metric: name of the figure that budgets limit, as in `mIoU`; `value`: its value.
        class_metric: name of what it is the mean of, as in `IoU`; `classes`: of each class.
        means: further figures by name; `tables`: further ones by name and class.
    """

    metric: str
    class_metric: str
    value: float | None
    classes: dict[str, float | None]
    means: dict[str, float | None] = {}
    tables: dict[str, dict[str, float | None]] = {}


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """Loss against the reference in points (positive: worse), with its 95% interval.

    Attributes:
        low, high: None: a single frame, or sequence, shows it and tells no interval.
        caveat: why the interval is not to be taken for more than it is, as there are few sequences; empty:
            there is no reason.
    """

    value: float
    low: float | None
    high: float | None
    caveat: str = ""

    @property
    def interval(self) -> str:
        """Both ends in words."""
        if self.low is None or self.high is None:
            return "none"
        ends = (f"{round(end, 2) + 0.0:.2f}" for end in (self.low, self.high))
        return " to ".join(ends)


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The frames of one tag.

    Attributes:
        value, fp32: the metric of the engine and of the reference, 0-1; None: nothing is labelled.
        drop: None: nothing shows it.
    """

    frames: int
    value: float | None
    fp32: float | None
    drop: Drop | None


class CalibrationError(msgspec.Struct, frozen=True, kw_only=True):
    """How far the confidence lies from the share of pixels that are right, in the mean (ECE), in points.

    Attributes:
        engine, reference: of each; None: it returns no confidence, or takes no labelled pixel for the class.
        rise: of the engine against the reference (positive: worse); None: one of them is missing.
    """

    engine: float | None
    reference: float | None
    rise: Drop | None


class Flicker(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of pixels, in 0-1, over consecutive frames of the same video.

    Attributes:
        still: those whose colour stays from one frame to the next.
        engine, reference: of these, those whose class changes.
    """

    still: float
    engine: float
    reference: float


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How far two engines find the same.

    Attributes:
        unit: what is compared, as in `pixel`; of things, those that either engine finds at its working point.
        equal: share of them that is equal, 0-1; 1 where there are none.
        metric, value: the metric between the two over the classes that the reference shows.
    """

    unit: str
    equal: float
    metric: str
    value: float | None


class WorstFrame(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        id: of the image within the data; `frame`: its position.
        score: the metric of this frame against its label; without labels, the share, as of pixels, that is
            equal to the reference.
        picture: the file with frame, label (or reference), engine and difference; empty if not saved.
    """

    id: str
    frame: int
    score: float
    picture: str = ""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy of what the engine of a bundle returns.

    Attributes:
        data: dataset and split, or the folder of images; `labelled`: whether there were labels.
        limit: the limit on frames that was asked for; `frames`: how many were scored.
        sequences: how many videos they come from; 0: nothing tells, or it was not asked.
        sample_list: sha256 over ids, decoded pixels and labels of the frames, in their order.
        reference: what the drop and the agreement are measured against; `reference_id`: of its bundle.
        engine, fp32: scores of the engine and of the reference; None without labels or unmeasured.
        metric: name of the figure that counts, as in `mIoU`.
        drop, class_drop: of it, and of each class, lost against the reference.
        slices: the same for the frames of each tag, as in `light=night`.
        calibration_error, class_calibration_error: of the confidence, on all labelled pixels and on those
            that were taken for each class; None and empty where the engine returns no confidence.
        agreement: with what the reference returns.
        flicker: None where hardly a pixel stands still from frame to frame, and of a task that does not speak
            of pixels.
        size_mb: of the engine's files in 10^6 bytes; None for a deferred bundle.
    """

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int = 1
    bundle: str
    bundle_id: str
    target: str
    engine_version: str = ""
    data: str
    labelled: bool
    limit: int = 0
    frames: int = 0
    sequences: int = 0
    sample_list: str = ""
    reference: str = ""
    reference_id: str = ""
    metric: str
    engine: Scores | None = None
    fp32: Scores | None = None
    drop: Drop | None = None
    class_drop: dict[str, Drop] = {}
    slices: dict[str, Slice] = {}
    calibration_error: CalibrationError | None = None
    class_calibration_error: dict[str, CalibrationError] = {}
    agreement: Agreement | None = None
    flicker: Flicker | None = None
    size_mb: float | None = None
    worst: tuple[WorstFrame, ...] = ()
    budget: Budget = Budget()
    verdict: Verdict
    notes: tuple[str, ...] = ()

    @property
    def value(self) -> float | None:
        """The metric of the engine, 0-1."""
        return self.engine.value if self.engine else None


def check_budget(budget: Budget, spec: ModelSpec) -> None:
    """Raise InputError, listing the classes, when the budget names one the network does not have."""
    for name in budget.classes:
        if name not in spec.class_names:
            raise unknown(name, spec.class_names, noun="class", listing="edgeseg inspect BUNDLE")


def require_labels(budget: Budget, *, labelled: bool, where: str) -> None:
    """Raise InputError for a limit that needs labels where none will be read."""
    if budget.needs_labels and not labelled:
        limits = {
            "--max-drop": budget.max_drop is not None,
            "--max-class-drop": bool(budget.max_class_drop),
            "--max-drop-any-class": budget.any_class is not None,
            "--max-drop-any-slice": budget.any_slice is not None,
            "--max-calibration-error": budget.max_calibration_error is not None,
            "--min-recall": bool(budget.min_recall),
            "--min-precision": bool(budget.min_precision),
        }
        name = next(option for option, given in limits.items() if given)
        raise InputError(
            f"{name} was given, and {where} has no labels to hold it against",
            expected="labelled images: --data NAME[=ROOT]",
            hint="leave the limit out to compare what is found with FP32",
        )


def require_tags(budget: Budget, *, tagged: bool) -> None:
    """Raise InputError for a limit on the images of each tag where no tags are given."""
    if budget.any_slice is not None and not tagged:
        raise InputError(
            "--max-drop-any-slice was given without the tags of the images",
            expected="--tags FILE.csv beside it: a first line such as image,light,camera",
        )


def trust_verdict(bundle: Bundle, budget: Budget) -> tuple[Verdict, ...]:
    """Where scores say nothing about a network, the reason: `unjudged` if a limit needs labels, else
    `unmeasured`. Nothing can pass then."""
    if not backend_for(Target.parse(bundle.engine.target)).computes:
        reason = f"{bundle.engine.target} computes nothing: what it returns means nothing"
    elif has_random_weights(bundle.manifest.model):
        reason = "the network has random weights: what it finds means nothing; give it some with --weights"
    else:
        return ()
    return (Verdict(status="unjudged" if budget.needs_labels else "unmeasured", reasons=(reason,)),)


def has_random_weights(spec: ModelSpec) -> bool:
    """Whether the network came without weights, from a source that holds none."""
    return spec.weights is None and spec.source.kind in ("zoo", "python")


def size_verdict(size_mb: float | None, budget: Budget) -> tuple[Verdict, ...]:
    """The size against its limit; nothing where there is no limit."""
    limit = budget.max_size_mb
    if limit is None:
        return ()
    if size_mb is None:
        reason = f"engine size: the budget limits it to {limit:g} MB, but the engine is not built yet"
        return (Verdict(status="unjudged", reasons=(reason,)),)
    reason = f"engine size {size_mb:.2f} MB, the budget is {limit:g} MB"
    return (Verdict(status="fail" if size_mb > limit else "pass", reasons=(reason,)),)


def drop_verdicts(
    metric: str,
    drop: Drop | None,
    class_drop: dict[str, Drop],
    budget: Budget,
    missing: str = "the data does not show it",
) -> tuple[Verdict, ...]:
    """The losses against their limits: one verdict each.

    A class that is in the budget but not in the data cannot be judged: `unjudged`, never a pass.

    Args:
        metric: name of what `drop` is of.
        missing: why there is no loss, where there is none.
    """
    limits = [(metric, budget.max_drop, drop)]
    classes = budget.class_limits(class_drop)
    limits += [(name, limit, class_drop.get(name)) for name, limit in classes.items()]
    if budget.any_class is not None and not class_drop:
        limits.append(("any class", budget.any_class, None))
    return tuple(_judge(name, limit, found, missing) for name, limit, found in limits if limit is not None)


def slice_verdicts(
    metric: str,
    slices: dict[str, Slice],
    budget: Budget,
    missing: str = "nothing in its frames is labelled",
) -> tuple[Verdict, ...]:
    """The losses on the frames of each tag against their limit, one verdict each, the largest loss first.

    Args:
        missing: why there is no loss, where there is none.
    """
    limit = budget.any_slice
    if limit is None:
        return ()
    lost: dict[str, Drop | None] = {tag: one.drop for tag, one in slices.items()} or {"any tag": None}
    ranked = sorted(lost.items(), key=lambda item: -item[1].value if item[1] else -math.inf)
    return tuple(_judge(f"{metric} of {tag}", limit, drop, missing) for tag, drop in ranked)


def floor_verdicts(
    engine: Scores | None, budget: Budget, missing: str = "the data does not show it"
) -> tuple[Verdict, ...]:
    """Recall and precision of classes against the least that the budget asks for: one verdict each."""
    kinds = ((RECALL, budget.min_recall), (PRECISION, budget.min_precision))
    return tuple(
        _floor(f"{kind} of {name}", least, _score(engine, kind, name), missing)
        for kind, limits in kinds
        for name, least in limits.items()
    )


def _score(engine: Scores | None, kind: str, name: str) -> float | None:
    return engine.tables.get(kind, {}).get(name) if engine else None


def _floor(what: str, least: float, found: float | None, missing: str) -> Verdict:
    if found is None:
        return Verdict(status="unjudged", reasons=(f"{what}: the budget asks for {least:g}, but {missing}",))
    reason = f"{what} is {100 * found:.2f}, the budget asks for {least:g}"
    return Verdict(status="fail" if 100 * found < least else "pass", reasons=(reason,))


def fallen(class_drop: dict[str, Drop], budget: Budget) -> tuple[str, ...]:
    """A sentence for each class that lost over FALL points for certain, which a mean hides.

    Not for those that have a limit: the verdict tells.
    """
    limited = budget.class_limits(class_drop)
    return tuple(
        f"{name} drops {drop.value:.2f} points (95% interval {drop.interval}): the mean hides it"
        for name, drop in class_drop.items()
        if name not in limited and drop.low is not None and drop.low > FALL
    )


def worst_slice(metric: str, slices: dict[str, Slice], budget: Budget) -> tuple[str, ...]:
    """A sentence for the tag whose frames lose most; none without tags.

    Nor where they have a limit: the verdict tells.
    """
    lost = {tag: one.drop for tag, one in slices.items() if one.drop is not None}
    if not lost or budget.any_slice is not None:
        return ()
    tag = max(lost, key=lambda tag: lost[tag].value)
    drop, frames = lost[tag], slices[tag].frames
    return (
        f"worst slice: {tag} drops {drop.value:.2f} points of {metric} (95% interval {drop.interval}) on "
        f"{frames} frame{'s' * (frames != 1)}",
    )


def _judge(name: str, limit: float, drop: Drop | None, missing: str) -> Verdict:
    if drop is None:
        reason = f"{name}: the budget limits its drop to {limit:g} points, but {missing}"
        return Verdict(status="unjudged", reasons=(reason,))
    told = f"95% interval {drop.interval}{', ' if drop.caveat else ''}{drop.caveat}"
    value = round(drop.value, 2) + 0.0
    reason = f"{name} drops {value:.2f} points ({told}), the budget is {limit:g}"
    if drop.low is None or drop.high is None:
        reason += "; a single frame or sequence shows it: more labelled ones would tell"
    elif drop.low <= limit < drop.high:
        reason += "; the interval crosses the limit: more labelled frames would tell"
    return Verdict(status="fail" if drop.value > limit else "pass", reasons=(reason,))
