"""The search on networks whose times and losses are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, product

import msgspec
import numpy as np
import pytest
from patterns import Net

from edgeseg.core.recipe import Budget
from edgeseg.quantization.placement.groups import groups_of
from edgeseg.quantization.placement.pairs import place
from edgeseg.quantization.planner.evaluator import FloatNodes, Timed
from edgeseg.quantization.planner.settings import PlanSettings
from edgeseg.quantization.planner.tables import Loss, PlannedPrecision
from edgeseg.quantization.planner.verdict import plan_precision, plan_with_few
from edgeseg.quantization.schemes import scheme_named


class KnownEvaluator:
    """A chain of layers `l0`, `l1`, ...: milliseconds in float and int8, a price per border, points lost."""

    def __init__(
        self,
        slow: Sequence[float],
        fast: Sequence[float],
        lost: Sequence[float],
        *,
        border: float = 0.0,
        road: Sequence[float] = (),
        times: bool = True,
        layers: bool = True,
        noise: float = 0.0,
        base: float = 0.0,
        paces: Sequence[float] = (1.0,),
        kept: bool = True,
    ) -> None:
        self.slow, self.fast, self.lost = (np.array(v, float) for v in (slow, fast, lost))
        self.road = np.array(road or np.zeros(len(slow)), float)
        self.border, self.times, self.layers, self.noise, self.base = border, times, layers, noise, base
        self.paces = cycle(paces)
        self.kept = kept
        self.brief: list[bool] = []
        self.scored: list[FloatNodes] = []
        self.raced: list[FloatNodes] = []
        self.rng = np.random.default_rng(0)
        net, tensor = Net(), "image"
        for index in range(len(slow)):
            tensor = net.conv(f"l{index}", tensor, 3, 3)
        self.model = net.model(tensor)
        self.groups = groups_of(self.model, place(self.model, scheme_named("openvino")))

    def int8(self, plan: FloatNodes) -> np.ndarray:
        return np.array([f"l{i}" not in plan for i in range(len(self.slow))])

    def node_ms(self, int8: np.ndarray) -> np.ndarray:
        taken = np.where(int8, self.fast, self.slow)
        taken[1:] += self.border * (int8[1:] != int8[:-1])
        return taken

    def race(self, plans: Sequence[FloatNodes], *, brief: bool = False) -> list[Timed]:
        self.raced += plans
        self.brief.append(brief)
        pace = next(self.paces)
        return [self._timed(pace * self.node_ms(self.int8(plan))) for plan in plans]

    def _timed(self, taken: np.ndarray) -> Timed:
        total = taken.sum() * (1 + self.noise * self.rng.random((3, 2, 4)))
        names = {f"l{i}": float(ms) for i, ms in enumerate(taken)} if self.layers else {}
        return Timed(openings=total.tolist(), node_ms=names)

    def loss(self, plan: FloatNodes, *, quick: bool = False, within: Budget | None = None) -> Loss:
        if not quick:
            self.scored.append(plan)
        int8 = self.int8(plan)
        drop, road = float(self.base + self.lost[int8].sum()), float(self.road[int8].sum())
        kept = self.kept and within is not None and drop <= (within.max_drop or np.inf)
        return Loss(
            metric="mIoU",
            drop=drop,
            class_drop={"road": road},
            changed=2 * drop,
            class_changed={"road": 2 * road},
            images=20 if kept else 80,
            kept=kept,
        )

    def plan(self, budget: Budget, **settings: float) -> PlannedPrecision:
        return plan_precision(self.model, self.groups, self, budget, PlanSettings(**settings))  # type: ignore[arg-type]

    def with_few(self, budget: Budget) -> PlannedPrecision | None:
        return plan_with_few(self.model, self.groups, self, budget, PlanSettings())

    def best(self, budget: Budget) -> float:
        """By trying every plan."""
        found = [float(self.slow.sum())]
        for bits in product((False, True), repeat=len(self.slow)):
            int8 = np.array(bits)
            road = self.road[int8].sum() <= budget.max_class_drop.get("road", np.inf)
            most = np.inf if budget.max_drop is None else budget.max_drop
            if road and self.base + self.lost[int8].sum() <= most:
                found.append(float(self.node_ms(int8).sum()))
        return min(found)

    def time_of(self, plan: Mapping[str, str]) -> float:
        return float(self.node_ms(np.array([plan[f"l{i}"] == "int8" for i in range(len(self.slow))])).sum())


def drop(points: float, **classes: float) -> Budget:
    return Budget(max_drop=points, max_class_drop=classes)


def test_all_int8_when_it_is_fast_and_within_the_budget() -> None:
    evaluator = KnownEvaluator([4, 4, 4, 4], [1, 1, 1, 1], [0.1, 0.1, 0.1, 0.1])
    found = evaluator.plan(drop(0.5))
    assert set(found.plan.values()) == {"int8"} and found.met and found.latency == "measured"
    assert "all blocks are int8: 0.25 of the time of float" in found.verdict
    assert [row.drop for row in found.blocks] == [None] * 4  # losing alone cannot change the decision
    assert [row.gain_ms for row in found.blocks] == [3] * 4
    assert len(evaluator.raced) == 2  # nothing can be faster than int8 in every block that it wins


def test_what_is_clear_at_once_needs_no_search() -> None:
    evaluator = KnownEvaluator([4, 4, 4], [1, 1, 1], [0.1, 0.1, 0.1])
    found = evaluator.with_few(drop(0.5))
    assert found is not None and found.met and set(found.plan.values()) == {"int8"}
    assert evaluator.brief == [True] and len(evaluator.scored) == 1
    assert next(row for row in found.plans if row.chosen).scored_on == 20
    assert "on 20 held-out images" in found.verdict


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("slower", [1, 6])
def test_few_images_are_enough_where_int8_keeps_the_budget(slower: float, kept: bool) -> None:
    evaluator = KnownEvaluator([4, 4, 4], [1, slower, 1], [0.1, 0.1, 0.1], kept=kept)
    found = evaluator.with_few(drop(0.5))
    assert found is not None and found.met
    assert evaluator.time_of(found.plan) == evaluator.best(drop(0.5))


def test_few_images_are_not_enough_where_int8_misses_the_budget() -> None:
    evaluator = KnownEvaluator([4, 4, 4], [1, 1, 1], [0.1, 0.9, 0.1])
    assert evaluator.with_few(drop(0.5)) is None and len(evaluator.scored) == 1
    assert evaluator.plan(drop(0.5)).met


class Hopeful(KnownEvaluator):
    """A look at some of the images promises what all of them do not keep."""

    def loss(self, plan: FloatNodes, *, quick: bool = False, within: Budget | None = None) -> Loss:
        whole = super().loss(plan, quick=quick, within=within)
        return whole if within is None else msgspec.structs.replace(whole, drop=0.1)


def test_few_images_are_not_enough_where_the_search_finds_no_plan() -> None:
    evaluator = Hopeful([4, 4, 4], [1, 6, 1], [0.9, 0.9, 0.9])
    assert evaluator.with_few(drop(0.5)) is None
    assert len(evaluator.scored) > 1  # it was not refused at the first look
    assert evaluator.plan(drop(3)).met


def test_float_that_wins_everywhere_is_clear_at_once() -> None:
    found = KnownEvaluator([1, 1, 1], [2, 2, 2], [0, 0, 0]).with_few(drop(0.5))
    assert found is not None and "float wins" in found.verdict


@pytest.mark.parametrize(("fast", "races"), [(3.0, [True]), (3.9, [True, False])])
def test_a_block_that_hardly_wins_is_timed_longer(fast: float, races: list[bool]) -> None:
    evaluator = KnownEvaluator([4, 4, 4], [1, fast, 1], [0.1, 0.1, 0.1])
    assert set(evaluator.plan(drop(0.5)).plan.values()) == {"int8"} and evaluator.brief == races


def test_a_search_begins_with_long_races() -> None:
    evaluator = KnownEvaluator([4, 4, 4], [1, 1, 1], [0.1, 0.9, 0.1])
    evaluator.plan(drop(0.5))
    assert evaluator.brief[:2] == [True, False] and not any(evaluator.brief[1:])


@pytest.mark.parametrize("seed", range(12))
def test_the_fastest_plan_within_the_budget(seed: int) -> None:
    rng = np.random.default_rng(seed)
    slow = rng.uniform(1, 10, 7)
    evaluator = KnownEvaluator(slow, slow * rng.uniform(0.3, 1.2, 7), rng.exponential(0.3, 7), base=0.02)
    budget = drop(float(rng.uniform(0.2, 0.8)))
    found = evaluator.plan(budget)
    assert evaluator.time_of(found.plan) == pytest.approx(evaluator.best(budget), rel=0.011)
    assert found.met


@pytest.mark.parametrize("seed", range(8))
def test_borders_between_precisions_cost(seed: int) -> None:
    rng = np.random.default_rng(seed)
    slow = rng.uniform(1, 4, 7)
    evaluator = KnownEvaluator(slow, slow * rng.uniform(0.6, 1.4, 7), np.zeros(7), border=0.5)
    assert evaluator.time_of(evaluator.plan(drop(0.5)).plan) <= 1.03 * evaluator.best(drop(0.5))


def test_a_block_that_int8_slows_down_stays_float() -> None:
    evaluator = KnownEvaluator([4, 4, 4, 4], [1, 6, 1, 1], [0, 0, 0, 0])
    found = evaluator.plan(drop(0.5))
    assert found.plan == {"l0": "int8", "l1": "float", "l2": "int8", "l3": "int8"}
    assert found.blocks[1].gain_ms == -2 and found.floats == ("l1",)


def test_the_limit_of_a_class_binds() -> None:
    evaluator = KnownEvaluator([4, 4, 4, 4], [1, 1, 1, 2], [0.1] * 4, road=[0, 3, 0, 0.5])
    budget = drop(0.5, road=1.0)
    found = evaluator.plan(budget)
    assert found.plan["l1"] == "float" and list(found.plan.values()).count("int8") == 3
    assert next(row for row in found.plans if row.chosen).class_drop == {"road": 0.5}


def test_float_ships_where_it_wins() -> None:
    evaluator = KnownEvaluator([1, 1, 1], [2, 2, 2], [0, 0, 0])
    found = evaluator.plan(drop(0.5))
    assert set(found.plan.values()) == {"float"} and found.met
    assert "float wins" in found.verdict
    assert next(row for row in found.plans if row.chosen).name == "float"


def test_float_ships_where_int8_keeps_the_budget_but_whole_runs_are_not_faster() -> None:
    class Even(KnownEvaluator):
        def _timed(self, taken: np.ndarray) -> Timed:
            return Timed(
                openings=[[[8.0] * 4] * 2] * 3, node_ms={f"l{i}": float(ms) for i, ms in enumerate(taken)}
            )

    found = Even([4, 4], [3, 3], [0.1, 0.1]).plan(drop(0.5))
    assert set(found.plan.values()) == {"float"} and found.met and "float wins" in found.verdict


def test_float_wins_where_borders_eat_the_gain() -> None:
    evaluator = KnownEvaluator([2, 2, 2], [1.9, 2.5, 1.9], [0, 0, 0], border=1.0)
    found = evaluator.plan(drop(0.5))
    assert set(found.plan.values()) == {"float"} and "float wins" in found.verdict


def test_a_budget_that_cannot_be_met() -> None:
    evaluator = KnownEvaluator([4, 4, 4], [1, 1, 1], [2, 3, 4])
    found = evaluator.plan(drop(0.5))
    assert not found.met
    assert found.plan == {"l0": "int8", "l1": "float", "l2": "float"}
    assert "nearest one drops mIoU by 2.00 (budget 0.5) points" in found.verdict
    assert "quantisation-aware training" in found.verdict and "calibration images" in found.verdict


def test_a_budget_that_float_misses_too() -> None:
    found = KnownEvaluator([1, 1], [2, 2], [0, 0], base=0.3).plan(drop(0.1))
    assert not found.met and "even float drops mIoU by 0.30 (budget 0.1)" in found.verdict


def test_without_latency_the_most_work_in_int8_within_the_budget() -> None:
    evaluator = KnownEvaluator([1] * 4, [1] * 4, [0.1, 0.9, 0.1, 0.1], times=False)
    found = evaluator.plan(drop(0.5))
    assert found.latency == "unmeasured" and found.met and evaluator.raced == []
    assert found.plan == {"l0": "int8", "l1": "float", "l2": "int8", "l3": "int8"}
    assert all(row.milliseconds is None and row.ratio is None for row in found.plans)
    assert "latency unmeasured" in found.verdict


@pytest.mark.parametrize("seed", range(4))
def test_an_engine_that_tells_no_times_of_layers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    slow = rng.uniform(1, 10, 6)
    evaluator = KnownEvaluator(slow, slow * rng.uniform(0.3, 1.2, 6), rng.exponential(0.3, 6), layers=False)
    found = evaluator.plan(drop(0.5))
    assert evaluator.time_of(found.plan) == pytest.approx(evaluator.best(drop(0.5)), rel=0.011)
    assert found.blocks[0].float_ms is None and found.blocks[0].gain_ms is not None


def test_the_guilty_layer_of_a_block_is_found() -> None:
    lost = [0.0] * 12
    lost[5] = 3.0
    evaluator = KnownEvaluator([2] * 12, [1] * 12, lost)
    found = evaluator.plan(drop(0.5), blocks=3)
    assert [name for name, precision in found.plan.items() if precision == "float"] == ["l5"]
    assert max(found.blocks, key=lambda row: row.drop or 0).name == "l5"


def test_a_noisy_machine_does_not_ship_float() -> None:
    evaluator = KnownEvaluator([4] * 4, [3.5] * 4, [0] * 4, noise=0.4)
    assert set(evaluator.plan(drop(0.5)).plan.values()) == {"int8"}


@pytest.mark.parametrize("layers", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_a_machine_that_is_slow_for_a_while_decides_nothing(seed: int, layers: bool) -> None:
    rng = np.random.default_rng(seed)
    slow = rng.uniform(2, 6, 6)
    fast = slow * rng.uniform(0.5, 0.9, 6)
    fast[2] = 1.02 * slow[2]
    evaluator = KnownEvaluator(slow, fast, [0.01] * 6, border=0.4, layers=layers, paces=(1.8, 1.0, 1.3, 0.9))
    assert evaluator.time_of(evaluator.plan(drop(0.5)).plan) <= 1.01 * evaluator.best(drop(0.5))


def test_a_block_that_was_slow_once_is_timed_again() -> None:
    class Disturbed(KnownEvaluator):
        def node_ms(self, int8: np.ndarray) -> np.ndarray:
            taken = super().node_ms(int8)
            taken[1] += 1.2 if int8.all() and len(self.raced) == 2 else 0.0
            return taken

    evaluator = Disturbed([4, 4, 4, 4], [3, 3, 3, 3], [0.1] * 4)
    found = evaluator.plan(drop(0.5))
    assert set(found.plan.values()) == {"int8"} and len(evaluator.raced) == 4
    assert found.blocks[1].int8_ms == pytest.approx(3.6)


def test_int8_everywhere_is_timed_beside_the_plans_it_may_beat() -> None:
    class Unsteady(KnownEvaluator):
        def race(self, plans: Sequence[FloatNodes], *, brief: bool = False) -> list[Timed]:
            races.append(list(plans))
            found = super().race(plans, brief=brief)
            return [self._shaken(one) if not plan else one for plan, one in zip(plans, found)]

        def _shaken(self, one: Timed) -> Timed:
            shaken = np.array(one.openings) * np.array([1.0, 1.2, 1.0])[:, None, None]
            return Timed(openings=shaken.tolist(), node_ms=one.node_ms)

    races: list[list[FloatNodes]] = []
    Unsteady([4, 4, 4, 4], [3, 3, 3, 4.05], [0.1] * 4, border=0.2).plan(drop(0.5))
    assert any(frozenset() in race and len(race) > 2 for race in races)


def test_a_budget_without_limits_on_accuracy_allows_half_a_point() -> None:
    found = KnownEvaluator([4, 4], [1, 1], [0.4, 0.4]).plan(Budget(max_size_mb=3))
    assert found.budget.max_drop == 0.5 and sorted(found.plan.values()) == ["float", "int8"]


def test_what_training_wins_back_may_be_lost_by_the_plan() -> None:
    evaluator = KnownEvaluator([4, 4, 4], [1, 1, 1], [0.4, 0.4, 3.0])
    found = evaluator.plan(Budget(max_class_drop={"road": 1.0}, max_drop=0.5), regain=1)
    assert found.plan == {"l0": "int8", "l1": "int8", "l2": "float"}
    assert (found.budget.max_drop, found.budget.max_class_drop) == (1.5, {"road": 2.0})


def test_a_limit_on_every_class_counts_for_those_that_are_shown() -> None:
    evaluator = KnownEvaluator([4, 4, 4], [1, 1, 1], [0.1, 0.1, 0.1], road=[0.5, 0.5, 3.0])
    found = evaluator.plan(Budget(max_drop=50.0, any_class=1.5))
    assert found.met and found.unjudged == ()
    assert found.plan == {"l0": "int8", "l1": "int8", "l2": "float"}
    own = evaluator.plan(Budget(max_drop=50.0, any_class=1.5, max_class_drop={"road": 9.0}))
    assert set(own.plan.values()) == {"int8"}, "a limit of its own comes first"
    assert evaluator.plan(Budget(any_class=1.5), regain=0.5).budget.any_class == 2.0


def test_tables_survive_json() -> None:
    found = KnownEvaluator([4, 4, 4], [1, 1, 5], [0.3, 0.3, 0.3]).plan(drop(0.5))
    assert msgspec.json.decode(msgspec.json.encode(found), type=PlannedPrecision) == found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": 17}, "blocks is 17, expected 1 to 16"),
        ({"images": 0}, "images is 0"),
        ({"rounds": 0}, "rounds"),
        ({"regain": -0.5}, "regain is -0.5"),
        ({"first": -1}, "first is -1"),
    ],
)
def test_settings_that_plan_nothing(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PlanSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("fast", [1.0, 9.0])
def test_a_limit_on_a_class_that_no_held_out_image_shows_is_unjudged(times, fast):
    evaluator = KnownEvaluator([4, 4], [fast, fast], [0, 0], times=times)
    shown = evaluator.plan(Budget(max_drop=1.0, max_class_drop={"road": 1.0}))
    assert shown.met and shown.unjudged == ()
    found = evaluator.plan(Budget(max_drop=1.0, max_class_drop={"road": 1.0, "pole": 1.0}))
    assert found.met and found.unjudged == ("pole",)
