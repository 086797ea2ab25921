"""What became of an engine, as fields; the sentences are made here and read by nobody but people."""

from __future__ import annotations

from typing import Literal

import msgspec


class BuildStatus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of an engine. One that was refused has no bundle.

    Attributes:
        state: `deferred`: it is built on its device.
        reason: why it was deferred: what is missing here.
        opened: it gave the golden class maps where it was built.
    """

    state: Literal["built", "deferred"]
    reason: str = ""
    opened: bool = False

    def sentences(self) -> tuple[str, ...]:
        if self.state == "deferred":
            return (f"not built here: {self.reason}; finish it on the device with `edgeseg build`",)
        if not self.opened:
            return ("built here, not run: its self-check is made when it is opened on its device",)
        return ()


class GateResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of int8 against its float fallback, timed in turn on the device.

    Attributes:
        state: `won`: int8 ships. `lost`: the float engine does. `untimed`: nobody has timed them yet.
        against: the target of the float engine.
        ratio: time of int8 over time of float; `low`, `high`: its 95% interval.
    """

    state: Literal["won", "lost", "untimed"]
    against: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.state != "untimed" and None in (self.ratio, self.low, self.high):
            raise ValueError(f"the gate is {self.state} without ratio, low and high")

    def sentences(self) -> tuple[str, ...]:
        if self.state == "untimed":
            return (
                "int8 against float: not timed; on the device, `edgeseg build` makes both engines and keeps "
                "the faster",
            )
        ships = (
            "int8 ships"
            if self.state == "won"
            else f"{self.against} ships, and other notes on int8 are about the parent"
        )
        return (
            f"int8 against float: {self.ratio:.2f} of the time of {self.against} on this device "
            f"(95% interval {self.low:.2f} to {self.high:.2f}); {ships}",
        )
