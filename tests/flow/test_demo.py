"""The recipe of `make demo` in int8, as users run it: engines that open and keep their budget on this CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeseg.evaluation.verify import verify
from edgeseg.flow.make import Maker
from edgeseg.flow.plan import make_plan, read_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "demo.toml"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    plan, data = make_plan(read_recipe(RECIPE), RECIPE.parent)
    return Maker(plan, data, tmp_path_factory.mktemp("steps"))


@pytest.mark.parametrize("target", ["openvino-int8", "ort-int8"])
def test_an_int8_engine_of_the_demo_passes_its_self_check_and_its_budget(demo, target, tmp_path):
    engine = demo.engine(demo.graph(), target, tmp_path)
    found = verify(engine.path, dataset=demo.data.dataset, budget=demo.plan.recipe.budget)
    assert found.verdict.status == "pass", found.verdict.reasons
