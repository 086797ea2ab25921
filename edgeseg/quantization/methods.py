"""Which methods suit a network: how ranges are read, bias correction and equalisation on or off."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
from onnx import ModelProto

from edgeseg.core.int8 import Scheme
from edgeseg.core.ports import Progress, silent
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.quantization.planner.tables import MethodTrial
from edgeseg.quantization.ptq import Calibrated, PtqSettings, calibrate, with_methods
from edgeseg.quantization.ranges.observer import Feeds
from edgeseg.quantization.ranges.thresholds import RangeMethod

RANGES: tuple[tuple[RangeMethod, float], ...] = (
    ("min-max", 100.0),
    ("percentile", 99.999),
    ("percentile", 99.99),
    ("mse", 100.0),
)
"""Methods and their percentile, in the order they are tried."""
Lose = Callable[[Calibrated], float]
"""What int8 everywhere loses on held-out images; less is better."""


def choose_methods(
    model: ModelProto,
    feeds: Feeds,
    scheme: Scheme,
    settings: PtqSettings,
    lose: Lose,
    *,
    device: Device = LOCAL,
    progress: Progress = silent,
) -> tuple[Calibrated, tuple[MethodTrial, ...]]:
    """One method after the other, each tried with the best of those before: ranges, bias correction,
    equalisation. The images run once per network that equalisation makes, and once per bias correction.

    Raises:
        as `calibrate`.
    """
    trials: list[MethodTrial] = []

    def tried(candidate: Calibrated) -> tuple[float, Calibrated]:
        chosen = candidate.settings
        name = f"{chosen.ranges} {chosen.percentile:g}" if chosen.ranges == "percentile" else chosen.ranges
        progress(f"trying ranges {name}, bias correction {_said(chosen.correct_bias)}")
        loss = lose(candidate)
        trials.append(
            MethodTrial(ranges=name, correct_bias=chosen.correct_bias, equalize=chosen.equalize, loss=loss)
        )
        return loss, candidate

    anew = partial(calibrate, model, feeds, scheme, device=device, progress=progress)
    base = anew(msgspec.structs.replace(settings, equalize=False))
    candidates = [
        tried(with_methods(base, feeds, _reading(base.settings, *ranges), progress=progress))
        for ranges in RANGES
    ]
    best = min(candidates, key=_loss)
    other = msgspec.structs.replace(best[1].settings, correct_bias=not best[1].settings.correct_bias)
    best = min(best, tried(with_methods(base, feeds, other, progress=progress)), key=_loss)
    even = msgspec.structs.replace(best[1].settings, equalize=True)
    best = min(best, tried(anew(even)), key=_loss)
    return best[1], tuple(trials)


def _reading(settings: PtqSettings, ranges: RangeMethod, percentile: float) -> PtqSettings:
    return msgspec.structs.replace(settings, ranges=ranges, percentile=percentile)


def _loss(trial: tuple[float, Calibrated]) -> float:
    return trial[0]


def _said(on: bool) -> str:
    return "on" if on else "off"
