"""Do the 95% intervals of comparisons cover? Each call compares a network with its copy: the truth is 1.

    python benchmarks/aa.py [--calls 40] [--only bench|race|gate|planner] [--minutes 9]
                            [--output benchmarks/results/aa.json]

Each call is a process of its own, and the comparisons take turns. `bench` is `edgeseg bench DEMO --vs COPY`
with 60 runs and 1 second, `race` the stopwatch of pruning, `gate` that of `edgeseg build` between int8 and
float, `planner` a full race of the planner. Calls are added to the output until there are as many as asked
for; --minutes stops in time, and the same command goes on. On a machine where other programs run, intervals
are wide and half-widths mean nothing. Exits with 1 where one covers less than 90% or is wider than 3%.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
import onnx

from edgeseg.core.bundle import Bundle
from edgeseg.core.cache import engine_cache
from edgeseg.core.measurement import PairedRatio
from edgeseg.core.target import Target
from edgeseg.device import gate
from edgeseg.device.environment import read_environment
from edgeseg.device.statistics import paired_ratio
from edgeseg.flow.bench import bench
from edgeseg.flow.latency import EngineStopwatch
from edgeseg.quantization.planner.trial_engine import Built, in_turn
from edgeseg.runtime.tasks import task_of

WORK = Path("runs/aa")
CAMERA = (240, 320)
COVERAGE, HALF_WIDTH = 0.90, 0.03


class Call(msgspec.Struct, frozen=True):
    """One comparison of a network with itself."""

    what: str
    ratios: tuple[PairedRatio, ...]
    seconds: float
    load: float | None


class Campaign(msgspec.Struct, frozen=True):
    """What the output holds."""

    cpu: str
    target: str
    calls: tuple[Call, ...] = ()


class Row(msgspec.Struct, frozen=True):
    """
    Attributes:
        coverage: share of the calls whose interval holds 1.
        half_width: median over the calls, as a share of the ratio.
        slower: share of the calls in which A, which is named first, was the slower one.
    """

    what: str
    clock: str
    calls: int
    coverage: float
    half_width: float
    slower: float
    seconds: float

    @property
    def good(self) -> bool:
        return self.coverage >= COVERAGE and self.half_width <= HALF_WIDTH


def main() -> int:
    given = parse()
    if given.one:
        print(msgspec.json.encode(COMPARISONS[given.one](given.target)).decode())
        return 0
    names = [given.only] if given.only else list(COMPARISONS)
    campaign = read(given.output, given.target)
    bundles(given.target)
    end = time.monotonic() + 60 * given.minutes
    while missing := [n for n in names if count(campaign, n) < given.calls]:
        if time.monotonic() > end:
            break
        what = min(missing, key=lambda name: count(campaign, name))
        call = compared(what, given.target)
        campaign = msgspec.structs.replace(campaign, calls=(*campaign.calls, call))
        given.output.write_text(json.dumps(msgspec.to_builtins(campaign), indent=1) + "\n")
        print(
            what, *(f"{r.clock} {r.ratio:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in call.ratios), flush=True
        )
    rows = summary(campaign)
    print("comparison  clock   calls  coverage  half-width  A slower  seconds")
    for row in rows:
        print(
            f"{row.what:10}  {row.clock:6} {row.calls:6} {row.coverage:8.1%}  {row.half_width:9.2%} "
            f"{row.slower:9.0%} {row.seconds:8.1f}"
        )
    if missing:
        print(f"go on with the same command: {', '.join(missing)} have fewer than {given.calls} calls")
    return 0 if all(row.good for row in rows) else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=40, help="of each comparison")
    parser.add_argument("--only", choices=COMPARISONS)
    parser.add_argument("--minutes", type=float, default=9.0, help="start no call after so long")
    parser.add_argument("--target", default="openvino-fp32")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/aa.json"))
    parser.add_argument("--one", choices=COMPARISONS, help="one call in this process")
    return parser.parse_args()


def read(output: Path, target: str) -> Campaign:
    """What was measured so far, on this machine and target."""
    fresh = Campaign(cpu=read_environment().cpu, target=target)
    if not output.exists():
        return fresh
    known = msgspec.json.decode(output.read_bytes(), type=Campaign)
    if (known.cpu, known.target) != (fresh.cpu, fresh.target):
        sys.exit(f"{output} holds calls of {known.target} on {known.cpu}; give another --output")
    return known


def count(campaign: Campaign, what: str) -> int:
    return sum(call.what == what for call in campaign.calls)


def summary(campaign: Campaign) -> list[Row]:
    rows = []
    for what in COMPARISONS:
        calls = [call for call in campaign.calls if call.what == what]
        for clock, ratios in enumerate(zip(*(call.ratios for call in calls))):
            rows.append(
                Row(
                    what=what,
                    clock=calls[0].ratios[clock].clock,
                    calls=len(calls),
                    coverage=sum(r.low <= 1 <= r.high for r in ratios) / len(ratios),
                    half_width=median((r.high - r.low) / 2 / r.ratio for r in ratios),
                    slower=sum(r.ratio > 1 for r in ratios) / len(ratios),
                    seconds=median(call.seconds for call in calls),
                )
            )
    return rows


def compared(what: str, target: str) -> Call:
    begin = time.monotonic()
    command = [sys.executable, __file__, "--one", what, "--target", target]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    ratios = msgspec.json.decode(done.stdout.splitlines()[-1], type=tuple[PairedRatio, ...])
    return Call(what, ratios, time.monotonic() - begin, read_environment().load)


def bundles(target: str) -> tuple[Path, Path]:
    """The demo network and its copy, made once."""
    first = WORK / f"demo-{target}"
    second = WORK / f"copy-{target}"
    if not first.exists():
        size = "x".join(map(str, CAMERA))
        command = [sys.executable, "-m", "edgeseg", "export", "--model", "demo", "--target", target]
        command += ["--camera-size", size, "-o", str(WORK)]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    if not second.exists():
        shutil.copytree(first, second)
    return first, second


def by_bench(target: str) -> tuple[PairedRatio, ...]:
    first, second = bundles(target)
    return bench(first, vs=str(second), min_runs=60, min_seconds=1.0).ratios


def by_race(target: str) -> tuple[PairedRatio, ...]:
    graphs = [one.file(one.manifest.graph) for one in map(Bundle.open, bundles(target))]
    second = EngineStopwatch(cache=engine_cache()).race(graphs, Target.parse(target))[1].over_first
    return (second,) if second else ()


def by_gate(target: str) -> tuple[PairedRatio, ...]:
    return (gate.race(*bundles(target), engine_cache()),)


def by_planner(target: str) -> tuple[PairedRatio, ...]:
    frame = np.random.default_rng(0).integers(0, 256, (*CAMERA, 3), np.uint8)
    with ExitStack() as stack:
        engines = []
        for one in map(Bundle.open, bundles(target)):
            deploy = onnx.load(str(one.file(one.engine.graph)))
            engines.append(Built(deploy, task_of(one.manifest.model), Target.parse(target), CAMERA))
            stack.callback(engines[-1].close)
        names = [node.name for node in deploy.graph.node]
        first, second = in_turn(engines, frame, names)
    return (paired_ratio(first.openings, second.openings, a="demo", b="copy", clock="device"),)


COMPARISONS: dict[str, Callable[[str], tuple[PairedRatio, ...]]] = {
    "bench": by_bench,
    "race": by_race,
    "gate": by_gate,
    "planner": by_planner,
}

if __name__ == "__main__":
    sys.exit(main())
