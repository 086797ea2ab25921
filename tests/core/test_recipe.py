"""Limits of a budget that no engine of a recipe could be held against."""

from __future__ import annotations

import pytest

from edgeseg.core.documents import convert
from edgeseg.core.recipe import Budget, Recipe
from edgeseg.errors import InputError

RECIPE = {"schema_version": 1, "name": "r", "model": {"name": "demo"}, "targets": ["ort-fp32"]}


def test_a_limit_on_the_calibration_error_needs_engines_that_return_a_confidence():
    limited = {**RECIPE, "budget": {"max_calibration_error": 3.0}}
    with pytest.raises(InputError, match=r"max_calibration_error(.|\n)*confidence = true"):
        convert(limited, Recipe, where="r.toml")
    read = convert({**limited, "confidence": True}, Recipe, where="r.toml")
    assert read.budget.max_calibration_error == 3.0 and read.budget.needs_labels


def test_a_limit_on_slices_is_refused_where_no_tags_are_read():
    with pytest.raises(InputError, match=r"any_slice(.|\n)*--max-drop-any-slice"):
        convert({**RECIPE, "budget": {"any_slice": 1.0}}, Recipe, where="r.toml")


@pytest.mark.parametrize("field", ["any_slice", "max_calibration_error"])
@pytest.mark.parametrize("limit", [float("nan"), -0.5, float("inf")])
def test_a_limit_that_nothing_can_be_held_against_is_refused(field, limit):
    with pytest.raises(InputError, match=f"{field} is {limit:g}, expected 0 or more"):
        convert({field: limit}, Budget, where="recipe")


def test_a_limit_on_slices_or_on_the_calibration_error_is_none_on_all_images_together():
    """The planner and quantize read `limits_drops`; they score neither."""
    for budget in (Budget(any_slice=1.0), Budget(max_calibration_error=1.0)):
        assert budget.needs_labels and not budget.limits_drops
