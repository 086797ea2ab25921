"""How much to measure."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from edgeseg.core.bounds import MOST_STREAMS, MOST_THREADS
from edgeseg.device.statistics import MIN_OPENINGS, P99_SAMPLES
from edgeseg.device.timing import Effort
from edgeseg.errors import InputError

RANGES = {
    "min_runs": (1, 10_000_000),
    "min_seconds": (0, 86_400),
    "openings": (MIN_OPENINGS, 1_000),
    "blocks": (1, 100_000),
    "streams": (1, MOST_STREAMS),
    "threads": (0, MOST_THREADS),
    "warmup": (0, 1_000_000),
}
"""Smallest and largest of each number: a measurement ends within a day."""


class BenchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much to measure. A measurement takes at least `min_runs` runs *and* `min_seconds`.

    Attributes:
        warmup: runs before, not recorded.
        streams: requests at work while throughput is measured; latency is always one at a time.
        threads: inference threads instead of the bundle's; None: the bundle's.
        cpus: cores to pin the process to while measuring; empty: not pinned beyond the target.
        openings: how often a comparison opens both bundles anew.
        blocks: pairs of blocks of a comparison, in all openings together, which share runs and seconds.
        throughput_seconds: how long throughput is measured, with more than one stream.
        cache: folder for compiled models.
        check: compare the golden frames before timing.
    """

    warmup: int = 10
    min_runs: int = 100
    min_seconds: float = 3.0
    streams: int = 1
    threads: int | None = None
    cpus: tuple[int, ...] = ()
    openings: int = 6
    blocks: int = 24
    throughput_seconds: float = 2.0
    cache: Path | None = None
    check: bool = True

    def require_sane(self) -> None:
        """Raise InputError for numbers that measure nothing."""
        for name, (least, most) in RANGES.items():
            value = getattr(self, name) or 0
            if not least <= value <= most:
                raise InputError(f"{name} is {value}", expected=f"from {least:,} to {most:,}")

    def judging(self, max_p99_ms: float | None) -> BenchSettings:
        """These settings, with as many runs as a limit on the 99th percentile takes.

        Raises:
            InputError: a limit that nothing can be held against.
        """
        if max_p99_ms is None:
            return self
        if not 0 <= max_p99_ms < math.inf:
            raise InputError(f"the limit of p99 is {max_p99_ms:g} ms", expected="0 or more milliseconds")
        return msgspec.structs.replace(self, min_runs=max(self.min_runs, P99_SAMPLES))

    def as_text(self) -> dict[str, str]:
        """What a measurement records of the load generator."""
        return {
            "min_runs": str(self.min_runs),
            "min_seconds": str(self.min_seconds),
            "host": "frame to class map, one call at a time, copies included",
        }

    @property
    def turns(self) -> int:
        """Pairs of blocks in one opening."""
        return -(-self.blocks // self.openings)

    @property
    def block(self) -> Effort:
        """Of one side in one turn."""
        blocks = self.openings * self.turns
        return Effort(runs=-(-self.min_runs // blocks), seconds=self.min_seconds / blocks)

    @property
    def effort(self) -> Effort:
        return Effort(runs=self.min_runs, seconds=self.min_seconds)


DEFAULT = BenchSettings()
