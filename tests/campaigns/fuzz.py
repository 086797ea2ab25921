"""Bad input for every command and file format, in a random order that a seed decides.

    python tests/campaigns/fuzz.py [--seed 0] [--count 1000] [--only WORDS ...] [--folder runs/fuzz] [--list]

Each run is the real command line in a fork of this process. It must end within 60 s with an exit code from
0 to 4, without a traceback, name what it was given when it refuses, and leave no half-written file. Failures
keep their folder; outcomes go to `FOLDER/results.jsonl`, and good ones that stand there are not repeated.
Exit code 1 when there is a failure.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for fuzzing, from pytest too

from fuzzing.case import Place
from fuzzing.commands import Kind, kinds
from fuzzing.judge import faults, files_in
from fuzzing.material import make_material
from fuzzing.worker import Worker

LEAST_KINDS = 20
"""Of each command and of each format."""
LIMIT_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """One run; `faults`: what was wrong with the answer."""

    number: int
    kind: str
    code: int | None
    seconds: float
    faults: list[str]
    said: str


class Campaign:
    """
    Args:
        folder: gets `material`, `cache`, and a folder per run that failed.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.seed = seed
        self.cache = folder / "cache"
        self.worker = Worker(self.cache, LIMIT_S)
        self.material = folder / "material"
        if not self.material.exists():
            make_material(self.material, self.worker)
        self.kinds = kinds(self.material)

    def chosen(self, count: int, only: Sequence[str] = ()) -> list[tuple[int, Kind]]:
        """`count` kinds in an order that the seed decides, commands and formats in turn; again from the first
        when there are not so many."""
        found = [kind for kind in self.kinds if all(word in str(kind) for word in only)]
        order = random.Random(self.seed)
        order.shuffle(found)
        queues: dict[tuple[str, str], list[Kind]] = {}
        for kind in found:
            queues.setdefault((kind.command, kind.format), []).append(kind)
        turns = [
            q[i]
            for i in range(max(map(len, queues.values()), default=0))
            for q in queues.values()
            if i < len(q)
        ]
        return [(i, turns[i % len(turns)]) for i in range(count)] if turns else []

    def run(self, number: int, kind: Kind) -> Outcome:
        folder = self.folder / "runs" / f"{number:05d}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        case = kind.make(Place(folder, self.material, random.Random(f"{self.seed}/{number}/{kind}")))
        before = files_in(folder)
        done = self.worker.run(case.words, folder, case.env, case.closed)
        found = faults(case, done, before, folder, self.cache)
        if not found:
            shutil.rmtree(folder, ignore_errors=True)
        return Outcome(number, str(kind), done.code, round(done.seconds, 2), found, done.err[-1500:])


def counts(found: Sequence[Kind]) -> Iterator[tuple[str, int]]:
    """How many kinds each command and each format has."""
    by: list[Callable[[Kind], str]] = [lambda k: k.command, lambda k: k.format.split()[0]]
    for name in by:
        yield from sorted(Counter(map(name, found)).items())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--only", nargs="*", default=[], metavar="WORDS", help="in the name of the kind")
    parser.add_argument("--folder", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--list", action="store_true", help="tell how many kinds there are, and run nothing")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    campaign = Campaign(folder, options.seed)
    if options.list:
        for name, count in counts(campaign.kinds):
            print(f"{count:5d}  {name}")
        return 0
    log = folder / "results.jsonl"
    good = {o.number: o for o in recorded(log) if not o.faults}
    chosen = campaign.chosen(options.count, options.only)
    start, outcomes = time.monotonic(), []
    with log.open("a") as file:
        for number, kind in chosen:
            known = good.get(number)
            outcome = known if known and known.kind == str(kind) else campaign.run(number, kind)
            outcomes.append(outcome)
            if outcome is not known:
                print(json.dumps(asdict(outcome)), file=file, flush=True)
            if outcome.faults:
                print(f"FAILED {number} {kind}: {'; '.join(outcome.faults)}", flush=True)
            if len(outcomes) % 50 == 0:
                took = time.monotonic() - start
                print(f"{len(outcomes)} of {len(chosen)} runs, {took:.0f} s", flush=True)
    print(summary(outcomes))
    return int(any(o.faults for o in outcomes))


def recorded(log: Path) -> Iterator[Outcome]:
    """What earlier runs in this folder found; of a campaign that goes on, good ones are not repeated."""
    for line in log.read_text().splitlines() if log.exists() else ():
        yield Outcome(**json.loads(line))


def summary(outcomes: Sequence[Outcome]) -> str:
    codes = sorted(Counter(str(o.code) for o in outcomes).items())
    told = ", ".join(f"{count} of exit {code}" for code, count in codes)
    failed = sum(bool(o.faults) for o in outcomes)
    slowest = max((o.seconds for o in outcomes), default=0.0)
    count = len({o.kind for o in outcomes})
    return f"{len(outcomes)} runs of {count} kinds: {told}; slowest {slowest:.0f} s; {failed} failed"


if __name__ == "__main__":
    sys.exit(main())
