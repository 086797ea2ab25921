"""kill -9 at random moments after the first output byte: no half result, no leftover, the same in the end.

    python tests/campaigns/kill.py [--kills 60] [--only COMMAND ...] [--seed 0] [--folder runs/kill]

For each command: two undisturbed runs, equal but for what LEFT_OUT names; then kills. After each kill every
bundle and file that can be seen is whole. The same command again ends well, leaves nothing hidden, and
gives what the undisturbed runs gave. Outcomes are appended to
`FOLDER/results.jsonl`, and those that stand there are not repeated. The folder of a failure is kept.

Commands run in children of one process that has imported everything: a kill and a rerun take seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from wholeness import broken

from edgeseg.core.bundle import MANIFEST

HEAVY = (
    "torch",
    "onnx",
    "onnxscript",
    "onnxsim",
    "onnxruntime",
    "openvino",
    "accelerate",
    "safetensors.torch",
)
HEAVY += ("torch.utils.tensorboard", "edgeseg.cli", "edgeseg.flow.run", "edgeseg.flow.quantize")
HEAVY += ("edgeseg.flow.train", "edgeseg.prediction.predict", "edgeseg.models.load", "edgeseg.training.loop")
HEAVY += ("edgeseg.graph.export", "edgeseg.quantization.ptq", "edgeseg.device.bench", "edgeseg.steps.export")

LEFT_OUT = {
    "created": "the time a bundle was made",
    "digest": "of a manifest: it holds `created`",
    "id": "of a parent: the sha256 of its manifest, which holds `created`",
    "key": "of a step: it holds the id of the parent",
    "reference_id": "as `id`",
    "bundle_id": "as `id`",
}
"""Fields of JSON files that two runs may give differently, and why."""
UNSEEN = re.compile(r"(^|/)(tensorboard|engines|tmp)(/|$)")
"""Curves hold times; compiled models are named and written by their engine; other libraries leave files."""
NAMED = ((re.compile(r"-[0-9a-f]{16}\b"), "-KEY"), (re.compile(r"\b[0-9a-f]{32}\.json"), "ID.json"))
"""Keys and ids in names of files."""
SAID = "said.txt"
HERE = "here"
"""All runs of a command have one folder: its path stands in what they make."""
LIMIT_S = 300.0
POLL_S = 0.002

NET = """
from torch import nn

def net(classes=2):
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, classes, 1))
"""
RECIPE = """
schema_version = 1
name = "kill"
targets = ["ort-fp32", "openvino-fp32"]
bench = false
[model]
name = "net.py:net"
input_size = [64, 64]
[data]
name = "folders"
root = "data"
"""
OWN = ("--model", "net.py:net", "--input-size", "64x64", "--data", "folders=data")


@dataclass(frozen=True)
class Command:
    """
    Attributes:
        arguments: of the command that is killed.
        before: commands that make what it needs, run once; the cache is emptied behind them.
        finished: what a rerun may answer where the kill came after the end: the error, and exit 2.
    """

    arguments: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    finished: str = ""


BOTH = ("--target", "ort-fp32", "--target", "openvino-fp32")
OTHER_SIZE = ("export", *OWN[:2], "--input-size", "96x64")
ENGINE = ("export", *OWN, "--target", "ort-fp32")
COMMANDS = {
    "export": Command(("export", *OWN, *BOTH)),
    "run": Command(("run", "kill.toml")),
    "quantize": Command(("quantize", *OWN, "--target", "ort-int8", "--no-plan")),
    "train": Command(
        ("train", *OWN, "-o", "out", *(f"--train={s}" for s in ("steps=12", "validate_every=2", "batch=2")))
    ),
    "predict": Command(("predict", "bundles/net-ort-fp32", "data/images/train", "-o", "out"), (ENGINE,)),
    "build": Command(
        ("build", "bundles/net-ort-fp32", "-o", "out/built"), (ENGINE,), finished="out/built exists"
    ),
    "overwrite": Command(("export", *OWN, *BOTH, "--overwrite"), ((*OTHER_SIZE, *BOTH),)),
    "build-overwrite": Command(
        ("build", "bundles/net-ort-fp32", "-o", "bundles/net-openvino-fp32", "--overwrite"),
        (ENGINE, (*OTHER_SIZE, *BOTH[2:])),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=60, help="of each command")
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/kill"))
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in HEAVY:
        importlib.import_module(name)
    failures = 0
    for name in given.only:
        outcomes = list(campaign(name, given.kills, given.seed, given.folder.resolve()))
        bad = [o for o in outcomes if o["faults"]]
        failures += len(bad)
        print(f"{name}: {len(outcomes)} kills, {len(bad)} with faults")
        for outcome in bad:
            print(
                f"  kill {outcome['kill']} after {outcome['after_s']:.3f} s: {'; '.join(outcome['faults'])}"
            )
    return 1 if failures else 0


def campaign(name: str, kills: int, seed: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Outcomes of the kills of one command, those of earlier calls first."""
    log = folder / "results.jsonl"
    known = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = {o["kill"]: o for o in known if (o["command"], o["seed"]) == (name, seed)}
    yield from (done[number] for number in range(kills) if number in done)
    if all(number in done for number in range(kills)):
        return
    template = prepared(name, folder / name / "template")
    clean = undisturbed(name, template, folder / name)
    for number in range(kills):
        if number not in done:
            place = folder / name / HERE
            outcome = {
                "command": name,
                "seed": seed,
                "kill": number,
                **one_kill(name, template, place, clean, seed, number),
            }
            with log.open("a") as stream:
                stream.write(json.dumps(outcome) + "\n")
            if outcome["faults"]:
                place.rename(folder / name / f"kill-{number}")
            yield outcome


def prepared(name: str, folder: Path) -> Path:
    """What the command finds: network, images, recipe, and what `before` makes."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    (folder / "net.py").write_text(NET)
    (folder / "kill.toml").write_text(RECIPE)
    write_data(folder / "data")
    for arguments in COMMANDS[name].before:
        code, said = finish(start(arguments, folder), folder / SAID)
        assert code == 0, said
    shutil.rmtree(folder / "cache", ignore_errors=True)
    return folder


def write_data(folder: Path) -> None:
    """Noise in two classes."""
    noise = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for index in range(count):
            pixels = noise.integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "images" / split / f"{index}.png")
            Image.fromarray(pixels[..., 0] // 128).save(folder / "masks" / split / f"{index}.png")
    classes = ", ".join(
        f'{{ name = "{name}", color = [{red}, 0, 0] }}' for name, red in (("a", 0), ("b", 200))
    )
    (folder / "dataset.toml").write_text(f'schema_version = 1\nencoding = "ids"\nclasses = [{classes}]\n')


@dataclass(frozen=True)
class Clean:
    """An undisturbed run: seconds to its first output byte and from there to its end, and what it gave."""

    first_s: float
    rest_s: float
    result: dict[str, str]


def undisturbed(name: str, template: Path, folder: Path) -> Clean:
    runs = []
    for _ in range(2):
        place = copied(template, folder / HERE)
        before, begun = seen(place), time.monotonic()
        process = start(COMMANDS[name].arguments, place)
        first = wait_for_output(process, place, before) - begun
        code, said = finish(process, place / SAID)
        assert code == 0, said
        runs.append(Clean(first, time.monotonic() - begun - first, result_of(place)))
        assert not hidden(place), hidden(place)
    assert runs[0].result == runs[1].result, differences(runs[0].result, runs[1].result)
    return runs[1]


def one_kill(name: str, template: Path, place: Path, clean: Clean, seed: int, number: int) -> dict[str, Any]:
    command, moments = COMMANDS[name], random.Random(f"{seed} {name} {number}")
    while True:
        copied(template, place)
        before = seen(place)
        process = start(command.arguments, place)
        first = wait_for_output(process, place, before)
        moment = moments.uniform(0.0, clean.rest_s)
        time.sleep(max(0.0, first + moment - time.monotonic()))
        os.kill(process, signal.SIGKILL)
        if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL:
            break  # else it was done before: another moment
    faults = [f"after the kill: {fault}" for fault in half_done(place)]
    left = sorted(hidden(place))
    code, said = finish(start(command.arguments, place), place / SAID)
    complete = bool(command.finished) and command.finished in said and code == 2
    if code != 0 and not complete:
        faults.append(f"the rerun ended with {code}: {said.strip()[-300:]}")
    faults += [f"left behind: {path}" for path in hidden(place)]
    faults += [f"after the rerun: {fault}" for fault in half_done(place)]
    result = result_of(place)
    if complete:  # the cache of a killed run is not filled by a rerun that finds the result there
        result = {k: v for k, v in result.items() if not k.startswith("cache/")}
        expected = {k: v for k, v in clean.result.items() if not k.startswith("cache/")}
        faults += differences(expected, result)
    else:
        faults += differences(clean.result, result)
    return {"after_s": round(moment, 4), "left": left, "faults": faults}


def start(arguments: Sequence[str], folder: Path, said: Path | None = None) -> int:
    """`edgeseg ARGUMENTS` in `folder`, whose cache and temporary files lie there too. Its process id.

    Args:
        said: the file for what it says; None: `folder/said.txt`.
    """
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        os.environ |= {"XDG_CACHE_HOME": str(folder / "cache"), "TMPDIR": str(folder / "tmp")}
        tempfile.tempdir = None
        told = os.open(said or folder / SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(told, 1)
        os.dup2(told, 2)
        sys.argv = ["edgeseg", *arguments]
        from edgeseg.cli import main as edgeseg

        edgeseg()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finish(process: int, said: Path) -> tuple[int, str]:
    """Exit code and what was said; a process that takes LIMIT_S is killed."""
    ends = time.monotonic() + LIMIT_S
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), said.read_text(errors="replace")
        if time.monotonic() > ends:
            os.kill(process, signal.SIGKILL)
            ends += LIMIT_S
        time.sleep(0.01)


def seen(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file that holds something, but what the command says."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            try:
                about = path.lstat()
            except FileNotFoundError:
                continue
            if about.st_size and name != SAID:
                found[str(path)] = (about.st_size, about.st_mtime_ns)
    return found


def wait_for_output(process: int, folder: Path, before: dict[str, tuple[int, int]]) -> float:
    """The moment of the first output byte, or of the end of the process."""
    while seen(folder) == before and not os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(POLL_S)
    return time.monotonic()


def copied(template: Path, place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(template, place)
    return place


def hidden(folder: Path) -> list[str]:
    """What nobody should find after a run: hidden files and folders, those for temporary files too."""
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    return [name for name in found if re.search(r"(^|/)\.", name)]


def visible(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not re.search(r"(^|/)\.", name) and not UNSEEN.search(name) and name != SAID:
            yield path


def half_done(folder: Path) -> list[str]:
    """Bundles and files that can be seen and are not whole."""
    faults = []
    for path in visible(folder):
        name = path.relative_to(folder).as_posix()
        place = path
        if path.is_dir() and path.parent.name in ("bundles", "steps", "reference") and path.name != "work":
            place = path / MANIFEST
        if fault := broken(place):
            faults.append(f"{name} is not whole: {fault}")
    return faults


def result_of(folder: Path) -> dict[str, str]:
    """sha256 by name of every file that can be seen, without what LEFT_OUT names."""
    result: dict[str, list[str]] = {}
    for path in visible(folder):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(folder).as_posix()
            for pattern, word in NAMED:
                name = pattern.sub(word, name)
            content = path.read_bytes()
            if path.suffix == ".json":
                content = json.dumps(without(json.loads(content)), sort_keys=True).encode()
            result.setdefault(name, []).append(hashlib.sha256(content).hexdigest())
    return {name: " ".join(sorted(sums)) for name, sums in result.items()}


def without(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: without(value) for key, value in data.items() if key not in LEFT_OUT}
    return [without(value) for value in data] if isinstance(data, list) else data


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    return [
        *(f"{name} is missing" for name in expected.keys() - found.keys()),
        *(f"{name} is new" for name in found.keys() - expected.keys()),
        *(f"{name} differs" for name in expected.keys() & found.keys() if expected[name] != found[name]),
    ]


if __name__ == "__main__":
    sys.exit(main())
