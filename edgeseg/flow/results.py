"""What a run found out, as data."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from edgeseg.core.measurement import Measurement
from edgeseg.core.recipe import Budget
from edgeseg.core.verdict import Verdict, combine
from edgeseg.device.report import judge as judge_latency
from edgeseg.flow.verify import Verification


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the result table.

    Attributes:
        bundle: folder of the engine bundle; empty for the PyTorch baseline.
        made: `engine`, `deferred` or `torch`.
        size_mb: of what the device needs, in 10^6 bytes.
        miou: in 0-1; `drop` in points with its 95% interval; None where not scored.
    """

    target: str
    bundle: str = ""
    made: str
    size_mb: float | None = None
    miou: float | None = None
    verification: Verification | None = None
    measurement: Measurement | None = None
    verdict: Verdict


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int = 1
    recipe: str
    network: str
    data: str
    rows: tuple[Row, ...]
    verdict: Verdict
    notes: tuple[str, ...] = ()


def judge(verification: Verification | None, measurement: Measurement | None, budget: Budget) -> Verdict:
    """Accuracy and latency against the budget. An invalid measurement is never a pass."""
    verdicts = []
    if verification is not None:
        verdicts.append(verification.verdict)
    if measurement is not None:
        verdicts.append(judge_latency(measurement, budget.max_p99_ms))
    return combine(tuple(verdicts))
