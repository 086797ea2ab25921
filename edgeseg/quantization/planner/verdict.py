"""What a search found -> the plan that ships, in words and tables."""

from __future__ import annotations

import time
from collections.abc import Sequence

from onnx import ModelProto

from edgeseg.core.ports import Progress, silent
from edgeseg.core.recipe import Budget
from edgeseg.quantization.placement.groups import Group
from edgeseg.quantization.placement.pairs import Precision
from edgeseg.quantization.planner.evaluator import Evaluator, FloatNodes
from edgeseg.quantization.planner.search import Search
from edgeseg.quantization.planner.settings import PlanSettings
from edgeseg.quantization.planner.tables import BlockRow, Loss, PlannedPrecision, PlanRow
from edgeseg.quantization.planner.tried import Tried, float_nodes

FLOAT, INT8 = "float", "int8"
HELP = (
    "what would help: quantisation-aware training (the step 'qat'), more or other calibration images, "
    "ranges by 'mse', more blocks to choose from, or a larger budget"
)


def plan_precision(
    model: ModelProto,
    groups: Sequence[Group],
    evaluator: Evaluator,
    budget: Budget,
    settings: PlanSettings | None = None,
    *,
    progress: Progress = silent,
) -> PlannedPrecision:
    """The fastest plan within the budget.

    Where no plan that is faster than float is within it, the one that misses it least, and `met` is False.
    Where no plan is faster than float, all float.

    Args:
        model, groups: of a `Calibrated`.
        budget: its limits of drops count, as `PlanSettings.limits` raises them.
    """
    begin = time.perf_counter()
    settings = settings or PlanSettings()
    search = Search(model, groups, evaluator, settings.limits(budget), settings, progress).run()
    return _result(search, begin)


def plan_with_few(
    model: ModelProto,
    groups: Sequence[Group],
    evaluator: Evaluator,
    budget: Budget,
    settings: PlanSettings,
    *,
    progress: Progress = silent,
) -> PlannedPrecision | None:
    """`plan_precision` for a network that was calibrated with few images. None: int8 in the blocks that it
    makes faster misses the budget, or no plan is found; more images may lose less."""
    begin = time.perf_counter()
    search = Search(model, groups, evaluator, settings.limits(budget), settings, progress)
    if not search.open():
        if search.start is None or search.start.excess(search.budget) > 0:
            return None
        search.explore()
    planned = _result(search, begin)
    return planned if planned.met else None


def _result(search: Search, begin: float) -> PlannedPrecision:
    chosen, met, verdict = _decide(search)
    return PlannedPrecision(
        budget=search.budget,
        plan=_precisions(search, chosen),
        met=met,
        unjudged=_unjudged(search, chosen),
        latency="measured" if search.evaluator.times else "unmeasured",
        verdict=verdict,
        blocks=_blocks(search, chosen),
        plans=_plans(search, chosen),
        seconds=time.perf_counter() - begin,
    )


def _decide(search: Search) -> tuple[Tried | None, bool, str]:
    """The plan (None: float), whether it keeps the budget, and why."""
    if search.best is not None:
        return search.best, True, _praise(search, search.best)
    scored = [t for t in search.tried if t.loss is not None and t.may_win]
    if not scored:
        return _float_wins(search)
    least = min(scored, key=lambda t: t.loss.excess(search.budget) if t.loss else 0.0)
    assert least.loss is not None
    over = _limits_missed(least.loss, search.budget)
    faster = "that is faster than float " if search.evaluator.times else ""
    return least, False, f"no int8 plan {faster}is within the budget; the nearest one {over}; {HELP}"


def _float_wins(search: Search) -> tuple[None, bool, str]:
    """int8 is not worth it; float is what the FP32 network is compared with as well."""
    loss = search.evaluator.loss(search.everything)
    if loss.excess(search.budget) > 0:
        over = _limits_missed(loss, search.budget)
        return None, False, f"float wins: int8 is not faster here; but even float {over}; {HELP}"
    return None, True, "float wins: int8 is not faster here, so the engine stays float"


def _unjudged(search: Search, chosen: Tried | None) -> tuple[str, ...]:
    """Limited classes that the images which decided about the plan do not show."""
    limited = search.budget.max_class_drop
    if not limited:
        return ()
    loss = chosen.loss if chosen is not None and chosen.loss else search.evaluator.loss(search.everything)
    return tuple(name for name in limited if name not in loss.class_drop)


def _praise(search: Search, best: Tried) -> str:
    kept = int((~best.int8).sum())
    what = "all blocks are int8" if not kept else f"{kept} of {len(best.int8)} blocks stay float"
    assert best.loss is not None
    speed = "latency unmeasured"
    if best.ratio is not None:
        r = best.ratio
        speed = f"{r.ratio:.2f} of the time of float (95% interval {r.low:.2f} to {r.high:.2f})"
    lost = f"{best.loss.metric} drops {best.loss.drop:.2f} points"
    return f"{what}: {speed}, {lost} on {best.loss.images} held-out images"


def _limits_missed(loss: Loss, budget: Budget) -> str:
    found = [(loss.metric, loss.drop, budget.max_drop)]
    limits = budget.class_limits(loss.class_drop)
    found += [(name, loss.class_drop.get(name, 0.0), most) for name, most in limits.items()]
    missed = [
        f"{name} by {drop:.2f} (budget {most:g})"
        for name, drop, most in found
        if most is not None and drop > most
    ]
    return f"drops {', '.join(missed)} points"


def _floats(search: Search, chosen: Tried | None) -> FloatNodes:
    if chosen is None:
        return search.everything
    return float_nodes(search.blocks, chosen.int8)


def _precisions(search: Search, chosen: Tried | None) -> dict[str, Precision]:
    kept = _floats(search, chosen)
    nodes = [node for group in search.groups for node in group.nodes]
    return {node: "float" if node in kept else "int8" for node in nodes}


def _blocks(search: Search, chosen: Tried | None) -> tuple[BlockRow, ...]:
    kept, gains = _floats(search, chosen), search.timings.gains(search.blocks)
    slow, fast = search.timings.ends(search.blocks)
    return tuple(
        BlockRow(
            name=s.block.name,
            nodes=s.block.nodes,
            operator=s.block.operator,
            macs=s.block.macs,
            float_ms=slow[i] if slow else None,
            int8_ms=fast[i] if fast else None,
            gain_ms=gains[i],
            drop=s.loss.drop if s.loss else None,
            changed=s.loss.changed if s.loss else None,
            precision="float" if kept.issuperset(s.block.nodes) else "int8",
        )
        for i, s in enumerate(search.measured)
    )


def _plans(search: Search, chosen: Tried | None) -> tuple[PlanRow, ...]:
    names = [block.name for block in search.blocks]
    timings = search.timings
    rows = [
        PlanRow(
            name=FLOAT,
            floats=tuple(names),
            milliseconds=timings.of_float.milliseconds if timings.of_float else None,
            ratio=1.0 if timings.there else None,
            chosen=chosen is None,
        )
    ]
    for number, one in enumerate(sorted(search.tried, key=timings.speed), start=1):
        loss = one.loss
        rows.append(
            PlanRow(
                name=INT8 if one.int8.all() else f"mixed {number}",
                floats=tuple(n for n, int8 in zip(names, one.int8) if not int8),
                predicted_ms=one.predicted_ms,
                predicted_drop=one.predicted_drop,
                milliseconds=one.milliseconds,
                ratio=one.ratio.ratio if one.ratio else None,
                low=one.ratio.low if one.ratio else None,
                high=one.ratio.high if one.ratio else None,
                drop=loss.drop if loss else None,
                class_drop=loss.class_drop if loss else {},
                scored_on=loss.images if loss else 0,
                within_budget=loss.excess(search.budget) <= 0 if loss else None,
                chosen=one is chosen,
            )
        )
    return tuple(rows)
