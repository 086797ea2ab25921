from __future__ import annotations

import pytest

from edgeseg.training.schedule import learning_rate
from edgeseg.training.settings import TrainSettings


def rates(schedule: str, warmup: float) -> list[float]:
    settings = TrainSettings(steps=100, lr=1.0, schedule=schedule, warmup=warmup)
    return [learning_rate(step, 100, settings) for step in range(100)]


@pytest.mark.parametrize("schedule", ["poly", "cosine"])
def test_rises_then_falls_to_nearly_nothing(schedule: str):
    found = rates(schedule, 0.1)
    assert 0.0 < found[0] < 0.2
    assert found[:11] == sorted(found[:11]) and found[10] == 1.0
    assert found[10:] == sorted(found[10:], reverse=True)
    assert 0.0 < found[-1] < 0.02


def test_values():
    assert rates("cosine", 0.0)[50] == pytest.approx(0.5)
    assert rates("poly", 0.0)[50] == pytest.approx(0.5**0.9)
    assert set(rates("constant", 0.0)) == {1.0}
