"""Bad input for every command and file format, in a random order that a seed decides.

    python tests/campaigns/fuzz.py [--seed 0] [--count 1000] [--only WORDS ...] [--folder runs/fuzz] [--list]

Each run is the real command line in a fork of this process. It must end within 60 s with an exit code from
0 to 4, without a traceback, name what it was given when it refuses, and leave no half-written file. Failures
keep their folder; outcomes go to `FOLDER/results.jsonl`. Exit code 1 when there is a failure.
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
    start, codes, failed = time.monotonic(), Counter[int | None](), 0
    chosen = campaign.chosen(options.count, options.only)
    with (folder / "results.jsonl").open("w") as log:
        for done, (number, kind) in enumerate(chosen, 1):
            outcome = campaign.run(number, kind)
            codes[outcome.code] += 1
            print(json.dumps(asdict(outcome)), file=log, flush=True)
            if outcome.faults:
                failed += 1
                print(f"FAILED {number} {kind}: {'; '.join(outcome.faults)}", flush=True)
            if done % 50 == 0:
                print(
                    f"{done} of {len(chosen)}, {time.monotonic() - start:.0f} s, {failed} failed", flush=True
                )
    told = ", ".join(f"{count} of exit {code}" for code, count in sorted(codes.items(), key=str))
    kinds_run = len({str(kind) for _, kind in chosen})
    took = time.monotonic() - start
    print(f"{len(chosen)} runs of {kinds_run} kinds in {took:.0f} s: {told}; {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
