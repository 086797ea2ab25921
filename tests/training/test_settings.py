from __future__ import annotations

import pytest

from edgeseg.core.documents import convert
from edgeseg.errors import InputError
from edgeseg.training.settings import TrainSettings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch", 0),
        ("accumulate", 0),
        ("steps", -1),
        ("epochs", 0),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("lr", 1e30),
        ("weight_decay", float("inf")),
        ("epochs", 10**12),
        ("batch", 10**9),
        ("workers", 10**6),
        ("seed", 2**40),
        ("scale", (1.0, float("inf"))),
        ("crop", (10**6, 10**6)),
        ("flip", 1.5),
        ("warmup", -0.1),
        ("scale", (2.0, 1.0)),
        ("scale", (0.0, 1.0)),
        ("crop", (0, 8)),
        ("ema_decay", 1.0),
        ("optimizer", "adma"),
        ("schedule", "step"),
        ("average", "mean"),
        ("precision", "int8"),
        ("select", "newest"),
    ],
)
def test_bad_values_name_the_option(field: str, value: object):
    with pytest.raises(InputError, match=f"{field} is") as caught:
        TrainSettings(**{field: value})
    assert caught.value.expected and f"--train {field}=" in caught.value.hint


def test_a_wrong_type_in_a_recipe_shows_the_value():
    with pytest.raises(InputError, match="batch = 'many'"):
        convert({"batch": "many"}, TrainSettings, where="recipe")


def test_steps_and_validation_interval():
    assert TrainSettings(epochs=3, batch=8).total_steps(80) == 30
    assert TrainSettings(epochs=3, batch=8).validation_interval(80) == 10
    assert TrainSettings(steps=7).total_steps(80) == 7
    assert TrainSettings(epochs=1, batch=8).total_steps(3) == 1
