from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeseg.training.average import Average, refresh_statistics


def run(kind: str, values: list[float], **options: float) -> float:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = Average(kind, module, decay=options.get("decay", 0.5), start=int(options.get("start", 0)))
    for step, value in enumerate(values):
        nn.init.constant_(module.weight, value)
        average.update(module, step)
    return float(average.state["weight"])


def test_none_is_the_last():
    assert run("none", [1.0, 2.0, 5.0]) == 5.0


def test_ema_follows_slowly():
    assert run("ema", [1.0], decay=0.5) == pytest.approx(0.9)
    assert run("ema", [1.0] * 200, decay=0.5) == pytest.approx(1.0)
    assert run("ema", [0.0] * 200 + [1.0], decay=0.9) == pytest.approx(0.1)


def test_swa_is_the_plain_mean_from_its_start():
    assert run("swa", [9.0, 9.0, 1.0, 2.0, 3.0], start=2) == pytest.approx(2.0)


def test_refreshed_statistics_are_those_of_the_images():
    module = nn.Sequential(nn.BatchNorm2d(1))
    images = [torch.full((2, 1, 2, 2), 3.0), torch.full((2, 1, 2, 2), 5.0)]
    refresh_statistics(module, images)
    assert float(module[0].running_mean) == pytest.approx(4.0)
    assert not module.training and module[0].momentum == pytest.approx(0.1)


def test_counters_are_copied():
    module = nn.BatchNorm2d(1)
    average = Average("ema", module, decay=0.9, start=0)
    module(torch.zeros(2, 1, 2, 2))
    average.update(module, 0)
    assert int(average.state["num_batches_tracked"]) == 1
