"""What a measurement means against a budget. Never a silent pass."""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["pass", "fail", "invalid", "unmeasured"]

_SEVERITY: tuple[Status, ...] = ("pass", "unmeasured", "invalid", "fail")


class Verdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        status: `pass`; `fail`: a budget was missed; `invalid`: the measurement cannot be
            trusted; `unmeasured`: that target cannot run here.
        reasons: one sentence each, with the number and the limit.
    """

    status: Status
    reasons: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 for pass and for unmeasured (nothing was promised), 1 for fail, 3 for invalid."""
        return {"pass": 0, "unmeasured": 0, "fail": 1, "invalid": 3}[self.status]


def combine(verdicts: tuple[Verdict, ...]) -> Verdict:
    """The most severe of several verdicts, with all reasons. Nothing to combine is unmeasured."""
    if not verdicts:
        return Verdict(status="unmeasured", reasons=("nothing was measured",))
    worst = max(verdicts, key=lambda v: _SEVERITY.index(v.status))
    return Verdict(status=worst.status, reasons=tuple(r for v in verdicts for r in v.reasons))
