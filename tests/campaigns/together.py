"""Eight processes at once in shared folders, two of them in PID namespaces of their own, as containers have.

    python tests/campaigns/together.py [--rounds 5] [--folder runs/together]

They export (two replace the same bundles, at two input sizes), run a recipe and predict. Each command does
what it does alone, or is refused with a reason. In the end every output is there and whole, nothing hidden.
Linux; the namespaces need root (`unshare --pid --fork --mount-proc`).
"""

from __future__ import annotations

import argparse
import collections
import importlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from kill import (
    BOTH,
    HEAVY,
    NET,
    OWN,
    RECIPE,
    SAID,
    finish,
    half_done,
    hidden,
    result_of,
    start,
    write_data,
)

SMALL = ("export", *OWN, *BOTH)
OTHER = (*("96x64" if word == "64x64" else word for word in SMALL), "--overwrite")
PREDICT = ("predict", "bundles/net-ort-fp32", "data/images/train", "-o", "out", "--json")
ROLES = {
    "export": SMALL,
    "export in a namespace": SMALL,
    "export, small, overwrite": (*SMALL, "--overwrite"),
    "export, large, overwrite": OTHER,
    "run": ("run", "kill.toml"),
    "run in a namespace": ("run", "kill.toml"),
    "predict": PREDICT,
    "predict too": PREDICT,
}
UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc")
REFUSALS = {
    "bundle exists": r"error: bundles/net-[\w-]+ exists\n",
    "another process works there": r"error: another process (predicts into|runs a recipe in) ",
    "bundle replaced while it was opened": r"error: bundles/net-ort-fp32\S* "
    r"(is not a bundle|was changed|is missing|has \d)",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each process")
    parser.add_argument("--folder", type=Path, default=Path("runs/together"))
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    for name in HEAVY:
        importlib.import_module(name)
    folder = given.folder.resolve()
    if given.role:
        work(given.role, folder, given.rounds)
        return 0
    shutil.rmtree(folder, ignore_errors=True)
    expected = [alone(folder / "shared", export) for export in (SMALL, OTHER)]
    place = prepared(folder / "shared")
    assert finish(start(SMALL, place), place / SAID)[0] == 0
    begun = [begin(role, given) for role in ROLES]
    faults, counts = [], collections.Counter()
    for role, process in zip(ROLES, begun):
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        faults += [f"{role} ended with {code}"] if code else []
        for line in log_of(role, folder).read_text().splitlines():
            outcome, fault = judged(json.loads(line), expected)
            counts[f"{role}: {outcome}"] += 1
            faults += [f"{role}: {fault}"] if fault else []
    faults += [f"left behind: {name}" for name in hidden(place)] + half_done(place)
    faults += lost(result_of(place), expected)
    for name, count in counts.items():
        print(f"{count:4} {name}")
    print(f"{sum(counts.values())} commands, {len(faults)} faults")
    print(*faults, sep="\n")
    return 1 if faults else 0


def begin(role: str, given: argparse.Namespace) -> int:
    """Start the process of a role, forked or in a PID namespace. Its process id."""
    folder = given.folder.resolve()
    if "namespace" in role:
        own = ["--role", role, "--rounds", str(given.rounds), "--folder", str(folder)]
        return os.posix_spawnp(UNSHARE[0], [*UNSHARE, sys.executable, __file__, *own], os.environ)
    process = os.fork()
    if process == 0:
        work(role, folder, given.rounds)
        os._exit(0)
    return process


def log_of(role: str, folder: Path) -> Path:
    return folder / f"{re.sub(r'[^a-z]+', '-', role)}.jsonl"


def prepared(place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    (place / "tmp").mkdir(parents=True)
    (place / "net.py").write_text(NET)
    (place / "kill.toml").write_text(RECIPE)
    write_data(place / "data")
    return place


def alone(place: Path, export: Sequence[str]) -> dict[str, str]:
    """What the commands give one after the other."""
    prepared(place)
    for arguments in (export, ROLES["run"], PREDICT):
        code, said = finish(start(arguments, place), place / SAID)
        assert code == 0, said
    return {**outputs(result_of(place)), "predicted": predicted(said)}


def outputs(result: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in result.items() if name.startswith(("bundles/", "out/", "runs/"))}


def predicted(said: str) -> str:
    """What `predict --json` printed behind its progress."""
    return said[said.index("{") :]


def work(role: str, folder: Path, rounds: int) -> None:
    """Each outcome as a line of JSON: exit code, and what was said."""
    log, said = log_of(role, folder), log_of(role, folder).with_suffix(".txt")
    with log.open("w") as outcomes:
        for _ in range(rounds):
            code, text = finish(start(ROLES[role], folder / "shared", said), said)
            outcomes.write(json.dumps({"role": role, "code": code, "said": text}) + "\n")


def judged(outcome: dict, expected: list[dict[str, str]]) -> tuple[str, str]:
    """In a word what became of a command, and what is wrong with that."""
    if outcome["code"] == 0:
        wrong = "predict" in outcome["role"] and predicted(outcome["said"]) not in [
            e["predicted"] for e in expected
        ]
        return "done", "another answer than alone" if wrong else ""
    if outcome["code"] == 2 and "Traceback" not in outcome["said"]:
        for name, pattern in REFUSALS.items():
            if re.search(pattern, outcome["said"]):
                return f"refused, {name}", ""
    return "failed", f"exit {outcome['code']}: {outcome['said'].strip()[-400:]}"


def lost(result: dict[str, str], expected: list[dict[str, str]]) -> Iterator[str]:
    """Outputs that are not those of one of the two networks."""
    found = {**outputs(result), "predicted": expected[0]["predicted"]}
    yield from (f"{name} is missing" for name in expected[0].keys() - found.keys())
    yield from (f"{name} is new" for name in found.keys() - expected[0].keys())
    for name in expected[0].keys() & found.keys():
        if found[name] not in [one[name] for one in expected]:
            yield f"{name} differs"


if __name__ == "__main__":
    sys.exit(main())
