"""What the planner measured and decided, as data that is saved beside the graph and printed."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from edgeseg.core.recipe import Budget
from edgeseg.quantization.placement.pairs import Precision


class Loss(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a graph loses against the FP32 network on the held-out images, in points of 100.

    Attributes:
        metric: name of what is lost, as in `mIoU`.
        drop: of it against the labels; without labels the same as `changed`.
        class_drop: of each class that is there.
        changed: 100 less the metric between what it finds and what the FP32 network finds. Never negative and
            less noisy than `drop`: it ranks.
        class_changed: the same per class.
        images: how many it was scored on.
        kept: its drops are within the limits it was scored for, with 95% certainty.
    """

    drop: float
    class_drop: dict[str, float]
    changed: float
    class_changed: dict[str, float]
    metric: str = ""
    images: int = 0
    kept: bool = False

    def excess(self, budget: Budget) -> float:
        """By how much the worst limit is passed; 0 or less: within the budget. A class that is not there
        loses nothing."""
        limits = budget.class_limits(self.class_drop)
        over = [self.class_drop.get(name, 0.0) - most for name, most in limits.items()]
        if budget.max_drop is not None:
            over.append(self.drop - budget.max_drop)
        return max(over, default=0.0)


class BlockRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the table of blocks.

    Attributes:
        name: of its first node; `nodes`: weighted nodes.
        float_ms, int8_ms: time of the block in the engine with everything float and with everything int8;
            None: not measured, or the engine tells no times of layers.
        gain_ms: time won by int8 in this block alone.
        drop: points of the metric lost when this block alone is int8; None: it could not change the decision.
        changed: the same by `Loss.changed`.
        precision: what was decided.
    """

    name: str
    nodes: tuple[str, ...]
    operator: str
    macs: int
    float_ms: float | None = None
    int8_ms: float | None = None
    gain_ms: float | None = None
    drop: float | None = None
    changed: float | None = None
    precision: Precision = "int8"


class PlanRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the table of plans that were really built.

    Attributes:
        floats: names of the blocks that stay float; all of them in the plan `float`.
        predicted_ms, predicted_drop: before it was built; None where nothing was predicted.
        milliseconds: sum of its layers, at the pace the machine had when float was first timed; where the
            engine tells no times of layers, the median run.
        ratio: its time over the time of the float engine, in turn; `low`, `high`: 95% interval.
        drop, class_drop: on the held-out images; None: not needed, a faster plan was within the budget.
        scored_on: how many of them.
    """

    name: str
    floats: tuple[str, ...]
    predicted_ms: float | None = None
    predicted_drop: float | None = None
    milliseconds: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    drop: float | None = None
    class_drop: dict[str, float] = {}
    scored_on: int = 0
    within_budget: bool | None = None
    chosen: bool = False


class MethodTrial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        loss: `Loss.changed` of int8 everywhere with these methods.
    """

    ranges: str
    correct_bias: bool
    equalize: bool
    loss: float


class PlannedPrecision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        plan: precision of every node that can be int8.
        metric: name of what drops, as in `mIoU`.
        met: the plan is within the budget and, where latency was measured, not slower than float.
        latency: `unmeasured`: made on accuracy alone; `edgeseg build` compares with float on the device.
        held_out, calibration: the images that decided and those that calibrated, in words.
        labelled: they have labels; else `drop` is disagreement with the masks of the FP32 network.
        unjudged: classes with a limit that no held-out image shows, so that nothing was held against it.
        methods: what was tried when int8 everywhere missed the budget; the best of them was planned with.
        seconds: that planning took, without calibration.
    """

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int = 1
    target: str = ""
    budget: Budget
    metric: str = ""
    plan: dict[str, Precision]
    met: bool
    latency: Literal["measured", "unmeasured"]
    verdict: str
    blocks: tuple[BlockRow, ...]
    plans: tuple[PlanRow, ...]
    held_out: str = ""
    calibration: str = ""
    labelled: bool = True
    unjudged: tuple[str, ...] = ()
    methods: tuple[MethodTrial, ...] = ()
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def floats(self) -> tuple[str, ...]:
        """Names of the blocks that stay float."""
        return tuple(block.name for block in self.blocks if block.precision == "float")
