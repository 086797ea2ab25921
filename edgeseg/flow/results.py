"""What a run found out, as data."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from edgeseg.core.measurement import Measurement
from edgeseg.core.recipe import Budget
from edgeseg.core.verdict import Verdict, combine
from edgeseg.device.report import judge as judge_latency
from edgeseg.device.report import unjudged
from edgeseg.evaluation.confidence import calibration_verdict
from edgeseg.evaluation.verification import IDLE, Verification, drop_verdicts, floor_verdicts, size_verdict


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the result table.

    Attributes:
        bundle: folder of the engine bundle; empty for the PyTorch baseline.
        made: `engine`, `deferred` or `torch`.
        size_mb: of what the device needs, in 10^6 bytes.
        score: the metric of the task, 0-1; None where not scored.
    """

    target: str
    bundle: str = ""
    made: str
    size_mb: float | None = None
    score: float | None = None
    verification: Verification | None = None
    measurement: Measurement | None = None
    verdict: Verdict


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int = 1
    recipe: str
    network: str
    metric: str
    data: str
    rows: tuple[Row, ...]
    verdict: Verdict
    notes: tuple[str, ...] = ()


def judge(
    metric: str,
    verification: Verification | None,
    measurement: Measurement | None,
    budget: Budget,
    size_mb: float | None = None,
    *,
    absent: Verdict | None = None,
) -> Verdict:
    """Accuracy, latency and size against the budget.

    An invalid measurement is never a pass, nor is a limit that nothing was measured for: it is `unjudged`.

    Args:
        metric: of the task, as the budget limits its drop.
        absent: says why the engine cannot run here, where it cannot.
    """
    told = verification is not None and not verification.frames
    verdicts: list[Verdict] = [absent] if absent and not told else []
    if verification is not None:
        verdicts.append(verification.verdict)
    else:
        missing = IDLE if absent else "accuracy was not scored: there are no labels"
        verdicts += drop_verdicts(metric, None, {}, budget, missing=missing)
        verdicts += floor_verdicts(None, budget, missing=missing)
        verdicts += calibration_verdict(None, budget, missing=missing)
        verdicts += size_verdict(size_mb, budget)
    if measurement is not None:
        verdicts.append(judge_latency(measurement, budget.max_p99_ms))
    else:
        verdicts += unjudged(budget.max_p99_ms, IDLE if absent else "latency was not measured")
    return combine(tuple(verdicts))
