"""This edgeseg beside the edgeseg of another commit: what both make of the same networks, in one run.

    EDGESEG_DATA=... python benchmarks/commits.py COMMIT [--network NAME] [--recipe NAME] [--output FILE.json]

Each makes its engines with its own command line, caches of its own and the same packages: float, and int8
as its planner decides (a budget of 0.5 points), and what recipes make. Each opens and times its engines in a
process of its own; the two take turns, in several openings of both. For each engine: time of this one over
time of the other, its 95% interval, mIoU of both, and what their planners left in float. Passed: no interval
lies above 1, and no mIoU fell by more than 0.1 points. Without --network and --recipe: all of both.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from edgeseg.core.measurement import PairedRatio
from edgeseg.device.environment import read_environment
from edgeseg.device.statistics import paired_ratio
from edgeseg.device.timing import Rounds, alternate

ROOT = Path(__file__).parents[1]
ROUNDS, RUNS = Rounds(6, 4), 25
LOSS = 0.1
CAMVID = ("--camera-size", "360x480", "--input-size", "384x480")
NETWORKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mobile-unet": ("munet_camvid.pt", CAMVID),
    "eff-unet": ("effunet_camvid.pt", CAMVID),
    "deeplabv3plus-mobile": ("", CAMVID),
    "demo": ("", ("--camera-size", "240x320")),
}
"""Weights in EDGESEG_DATA, and options. Without weights: those that the network brings, or random ones."""
RECIPES = ("demo", "demo-pruned", "mobile-unet-openvino-int8", "own-onnx-int8")
"""Those that run in under 15 minutes on 2 cores."""
TARGETS = ("openvino-fp32", "openvino-bf16", "openvino-int8")

WORKER = """
import json, sys, time
import numpy as np
from edgeseg.runtime import load
with load(sys.argv[1]) as session:
    frame = np.load(sys.argv[1] + "/golden.npz")["frames"][0]
    for _ in range(10): session(frame)
    print("ready", flush=True)
    for line in sys.stdin:
        taken = []
        for _ in range(int(line)):
            start = time.perf_counter()
            session(frame)
            taken.append((time.perf_counter() - start) * 1e3)
        print(json.dumps(taken[2:]), flush=True)
"""
"""Opens a bundle; for every number on its standard input it times so many runs and two before them."""


class Edition:
    """One edgeseg: its sources, what it makes and what it keeps."""

    def __init__(self, name: str, sources: Path, folder: Path) -> None:
        self.name, self.folder = name, folder / name
        self.folder.mkdir(parents=True)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(sources),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }

    def edgeseg(self, *arguments: object) -> str:
        command = [sys.executable, "-m", "edgeseg", *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, cwd=self.folder, capture_output=True, text=True)
        if done.returncode not in (0, 1, 3, 4):
            raise SystemExit(f"{self.name}: edgeseg {' '.join(map(str, arguments))}\n{done.stderr}")
        return done.stdout

    def make(self, network: str, data: str) -> dict[str, Any]:
        """Bundles by target, and what the planner did."""
        weights, options = NETWORKS[network]
        place = self.folder / network
        given = ["--model", network, *options, "--data", data, "--output", place]
        if weights:
            given += ["--weights", Path(os.environ["EDGESEG_DATA"]) / "weights" / weights]
        start = time.perf_counter()
        floats = [part for target in TARGETS[:2] for part in ("--target", target)]
        self.edgeseg("export", *given, *floats)
        exported = time.perf_counter()
        self.edgeseg("quantize", *given, "--target", TARGETS[2], "--budget-drop", "0.5")
        quantized = time.perf_counter()
        bundles = {target: place / f"{network}-{target}" for target in TARGETS}
        planned = json.loads((bundles[TARGETS[2]] / "plan.json").read_text())
        return {
            "bundles": bundles,
            "export_s": exported - start,
            "quantize_s": quantized - exported,
            "float": [block["name"] for block in planned["blocks"] if block["precision"] == "float"],
        }

    def run(self, recipe: str) -> dict[str, Any]:
        """Rows of the report by target."""
        data = Path(os.environ["EDGESEG_DATA"])
        place = self.folder / recipe
        given: dict[str, tuple[object, ...]] = {
            "mobile-unet-openvino-int8": (
                "--data", f"camvid={data}/camvid", "--weights", data / "weights" / "munet_camvid.pt",
            ),
            "own-onnx-int8": ("--data", f"images={data}/camvid/train"),
        }  # fmt: skip
        name = Path(recipe)
        if recipe == "own-onnx-int8":
            place.mkdir()
            shutil.copyfile(data / "onnx" / "u2netp.onnx", place / "network.onnx")
            text = (ROOT / "recipes" / f"{recipe}.toml").read_text()
            name = place / f"{recipe}.toml"
            name.write_text(f'{text}\n[model.postprocess]\noutput = "1959"\n')
        self.edgeseg("run", name, *given.get(recipe, ()), "--output", place / "run")
        report = json.loads((place / "run" / "report.json").read_text())
        return {row["target"]: row for row in report["rows"]}

    def miou(self, bundle: Path, data: str) -> float | None:
        """In points."""
        found = json.loads(self.edgeseg("verify", bundle, "--data", data, "--worst", "0", "--json"))
        return None if found["engine"]["miou"] is None else 100 * found["engine"]["miou"]

    @contextmanager
    def opened(self, bundle: Path) -> Iterator[subprocess.Popen[str]]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", WORKER, str(bundle)]
        with subprocess.Popen(
            command, env=self.environment, cwd=self.folder, stdin=pipe, stdout=pipe, text=True
        ) as worker:
            assert worker.stdin and worker.stdout
            while (said := worker.stdout.readline()) != "ready\n":
                if not said:
                    raise SystemExit(f"{self.name} cannot open {bundle}")
            yield worker
            worker.stdin.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commit")
    parser.add_argument("--network", action="append", choices=NETWORKS, default=[])
    parser.add_argument("--recipe", action="append", choices=RECIPES, default=[])
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = {
        "before": resolved(given.commit),
        "after": resolved("HEAD"),
        "cpu": read_environment().cpu,
        "isa": os.environ.get("ONEDNN_MAX_CPU_ISA", "native"),
        "networks": {},
        "recipes": {},
    }
    everything = not given.network and not given.recipe
    with TemporaryDirectory() as folder:
        sources = Path(folder) / "sources"
        sources.mkdir()
        archive = subprocess.run(["git", "archive", given.commit], cwd=ROOT, capture_output=True, check=True)
        subprocess.run(["tar", "-x", "-C", str(sources)], input=archive.stdout, check=True)
        before = Edition("before", sources, Path(folder))
        after = Edition("after", ROOT, Path(folder))
        for network in given.network or (NETWORKS if everything else ()):
            found["networks"][network] = compared(network, before, after)
            written(found, given.output)
        for recipe in given.recipe or (RECIPES if everything else ()):
            found["recipes"][recipe] = compared_recipe(recipe, before, after)
            written(found, given.output)
    every = (*found["networks"].values(), *found["recipes"].values())
    return 0 if all(one["passed"] for one in every) else 1


def written(found: dict[str, Any], output: Path | None) -> None:
    if output:
        output.write_text(json.dumps(msgspec.to_builtins(found), indent=2) + "\n")


def resolved(commit: str) -> str:
    said = subprocess.run(
        ["git", "rev-parse", "--short", commit], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return said.stdout.strip()


def compared(network: str, before: Edition, after: Edition) -> dict[str, Any]:
    data = "synthetic-streets" if network == "demo" else f"camvid={os.environ['EDGESEG_DATA']}/camvid"
    made = {edition.name: edition.make(network, data) for edition in (before, after)}
    rows: dict[str, Any] = {}
    passed = True
    for target in TARGETS:
        new, old = (made[edition.name]["bundles"][target] for edition in (after, before))
        ratio = raced(partial(after.opened, new), partial(before.opened, old), network)
        scored = ((before, old), (after, new)) if target != TARGETS[0] else ()
        miou = [edition.miou(one, data) for edition, one in scored] or [None, None]
        kept = miou[0] is None or miou[1] is None or miou[0] - miou[1] <= LOSS
        passed &= ratio.low <= 1 and kept
        rows[target] = {"after_over_before": ratio, "miou_before": miou[0], "miou_after": miou[1]}
        print(
            f"{network:22} {target:14} after/before {ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
            f"  mIoU {miou[0]} -> {miou[1]}",
            flush=True,
        )
    about = {
        name: {key: one[key] for key in ("export_s", "quantize_s", "float")} for name, one in made.items()
    }
    print(f"{network:22} {about}", flush=True)
    return {"passed": passed, "targets": rows, **about}


def compared_recipe(recipe: str, before: Edition, after: Edition) -> dict[str, Any]:
    old, new = before.run(recipe), after.run(recipe)
    rows: dict[str, Any] = {}
    passed = old.keys() == new.keys()
    for target in old.keys() & new.keys():
        pair = old[target], new[target]
        miou = [None if row["miou"] is None else 100 * row["miou"] for row in pair]
        ratio = None
        if all(row["measurement"] and row["bundle"] for row in pair):
            places = [Path(row["bundle"]) for row in pair]
            ratio = raced(partial(after.opened, places[1]), partial(before.opened, places[0]), recipe)
            passed &= ratio.low <= 1
        passed &= None in miou or miou[0] - miou[1] <= LOSS
        rows[target] = {"after_over_before": ratio, "miou_before": miou[0], "miou_after": miou[1]}
        told = f"{ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]" if ratio else "not timed"
        print(f"{recipe:26} {target:14} after/before {told}  mIoU {miou[0]} -> {miou[1]}", flush=True)
    return {"passed": passed, "targets": rows}


def raced(open_new: Any, open_old: Any, name: str) -> PairedRatio:
    """Time of the first over that of the second, on the clock of the caller."""
    taken = alternate([open_new, open_old], block, ROUNDS)
    return paired_ratio(*taken, a=f"{name}, after", b=f"{name}, before", clock="host")


def block(worker: subprocess.Popen[str]) -> list[float]:
    assert worker.stdin and worker.stdout
    worker.stdin.write(f"{RUNS + 2}\n")
    worker.stdin.flush()
    found: list[float] = json.loads(worker.stdout.readline())
    return found


if __name__ == "__main__":
    sys.exit(main())
