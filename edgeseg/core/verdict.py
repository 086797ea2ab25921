"""What a measurement means against a budget. Never a silent pass."""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["pass", "fail", "invalid", "unjudged", "unmeasured"]

_SEVERITY: tuple[Status, ...] = ("pass", "unmeasured", "unjudged", "invalid", "fail")
_EXIT_CODES: dict[Status, int] = {"pass": 0, "unmeasured": 0, "unjudged": 4, "invalid": 3, "fail": 1}


class Verdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        status: `pass`; `fail`: a limit was missed; `invalid`: the measurement cannot be trusted;
            `unjudged`: a limit was asked for and nothing could be held against it; `unmeasured`: nothing
            could be measured and no limit was asked for.
        reasons: one sentence each, with the number and the limit.
    """

    status: Status
    reasons: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 for pass and for unmeasured (nothing was promised), 1 for fail, 3 for invalid, 4 for unjudged."""
        return _EXIT_CODES[self.status]

    def allowed(self) -> Verdict:
        """The same where limits that cannot be measured here do not count."""
        return msgspec.structs.replace(self, status="unmeasured") if self.status == "unjudged" else self


def combine(verdicts: tuple[Verdict, ...]) -> Verdict:
    """The most severe of several verdicts, with all reasons. Nothing to combine is unmeasured."""
    if not verdicts:
        return Verdict(status="unmeasured", reasons=("nothing was measured",))
    worst = max(verdicts, key=lambda v: _SEVERITY.index(v.status))
    return Verdict(status=worst.status, reasons=tuple(r for v in verdicts for r in v.reasons))
