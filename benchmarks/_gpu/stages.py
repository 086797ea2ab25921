"""The processes, each with a deadline: one that crashes or hangs takes nothing else with it."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from _gpu.plan import int8_pairs, rival_pairs, rivals
from _gpu.record import Journal, Pair, Proof, Rivalry, Status

BENCHMARKS = Path(__file__).parents[1]


class Stages:
    """
    Args:
        given: the options of `gpu.py`.
        work: an empty folder for the bundles that are timed.
    """

    def __init__(self, given: argparse.Namespace, work: Path) -> None:
        self._given = given
        self._work = work
        self._journal = Journal(work / "journal.jsonl")

    def proofs(self, targets: tuple[str, ...], until: float) -> list[Proof]:
        given, proofs = self._given, []
        for target in targets:
            print(f"proving {target}", file=sys.stderr, flush=True)
            status, reason = self._run(
                ("_gpu.prove", target, "--bundles", given.bundles, "--frames", given.frames)
                + ("--camera-size", *given.camera_size, "--runs", given.runs),
                until,
            )
            named = (f for f in self._journal.read() if isinstance(f, Proof) and f.target == target)
            proofs.append(next(named, None) or Proof(target=target, status=status, reason=reason))
        return proofs

    def race(self, targets: tuple[str, ...], until: float) -> tuple[list[Rivalry], list[Pair]]:
        """What was found, and by name what was not."""
        print("engines and PyTorch in turn", file=sys.stderr, flush=True)
        arguments = ("_gpu.race", *targets, "--runs", self._given.runs, "--until", until)
        status, reason = self._run(arguments, until)
        found = self._journal.read()
        there = {f.name: f for f in found if isinstance(f, Rivalry)}
        timed = {(f.a, f.b): f for f in found if isinstance(f, Pair)}
        wanted, pairs = rivals(targets), list(int8_pairs(targets))
        for rival in wanted:
            fault = there.setdefault(rival.name, Rivalry(name=rival.name, status=status, reason=reason))
            if fault.status == "passed":
                pairs += rival_pairs(targets, rival)
        return list(there.values()), [
            timed.get(pair) or Pair(a=pair[0], b=pair[1], status=status, reason=reason) for pair in pairs
        ]

    def _run(self, arguments: tuple[object, ...], until: float) -> tuple[Status, str]:
        """Run one process to its end or to the deadline: what to say of anything that it did not tell."""
        left = until - time.time()
        late: tuple[Status, str] = ("no time", f"the {self._given.minutes:g} minutes were over")
        if left <= 0:
            return late
        words = [*map(str, arguments), "--work", str(self._work), "--journal", str(self._journal.file)]
        paths = (str(BENCHMARKS), str(BENCHMARKS.parent), os.environ.get("PYTHONPATH", ""))
        with (self._work / "log").open("w+b") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                code = process.wait(left)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return late
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
            if code == 0:
                return late
            log.seek(0)
            told = log.read().decode(errors="replace").strip()
        print(told, file=sys.stderr)
        *_, last = told.splitlines() or ("not a word",)
        return "failed", f"its process ended with {code}: {last}"
