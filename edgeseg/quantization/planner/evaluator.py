"""What the planner needs measured, as a contract."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from edgeseg.core.recipe import Budget
from edgeseg.quantization.planner.tables import Loss

FloatNodes = frozenset[str]
"""The nodes of a plan that stay float; all others that can be are int8."""


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        openings: milliseconds, [opening][turn][run].
        node_ms: of each weighted node, with what the engine runs between it and the next; empty where the
            engine tells no times of layers.
    """

    openings: list[list[list[float]]]
    node_ms: Mapping[str, float] = {}

    @property
    def milliseconds(self) -> float:
        """Sum of the layers; without them the median of the runs."""
        if self.node_ms:
            return sum(self.node_ms.values())
        return self.run_ms

    @property
    def run_ms(self) -> float:
        """The median of the runs."""
        return statistics.median(ms for turns in self.openings for turn in turns for ms in turn)

    def more(self, other: Timed) -> Timed:
        """With the openings of another race, and of each layer the mean of both."""
        mean = {node: (ms + other.node_ms.get(node, ms)) / 2 for node, ms in self.node_ms.items()}
        return Timed(openings=[*self.openings, *other.openings], node_ms=mean)

    def at_pace(self, factor: float) -> Timed:
        """Its layers as they would be on a machine that takes `factor` times as long."""
        return msgspec.structs.replace(self, node_ms={node: factor * ms for node, ms in self.node_ms.items()})


class Evaluator(Protocol):
    """
    Attributes:
        times: latency can be measured here.
    """

    @property
    def times(self) -> bool: ...

    def race(self, plans: Sequence[FloatNodes], *, brief: bool = False) -> Sequence[Timed]:
        """Build plans and time them in turn; `brief`: with fewer turns."""
        ...

    def loss(self, plan: FloatNodes, *, quick: bool = False, within: Budget | None = None) -> Loss:
        """Loss against the FP32 network on the held-out images; `quick`: on a few of them; `within`: on as
        many as show that it is within these limits."""
        ...
