"""What the copy of a frame at the door of a session costs, with and without its channels swapped.

    python benchmarks/frame_copy.py [--target openvino-fp32] [--output benchmarks/results/frame_copy.json]

Copies of one frame alone, per size. Then `session.stream` of the demo network over one buffer, `copy=True`
against `copy=False`, and over BGR frames (`color="bgr"`) against RGB ones, in alternating blocks: above 1 the
copy costs time. A stream copies in the thread that reads the source, while the engine works.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np

from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe
from edgeseg.device.bench import BenchSettings, compare
from edgeseg.device.environment import read_environment
from edgeseg.device.timing import Call, Effort, collect
from edgeseg.flow.make import export
from edgeseg.runtime import load
from edgeseg.runtime.frames import copy_frames

SIZES = ((240, 320), (480, 640), (1080, 1920))
STREAMED = 20
"""Frames of one timed stream."""


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--target", default="openvino-fp32")
    arguments.add_argument("--runs", type=int, default=120)
    arguments.add_argument("--output", type=Path)
    given = arguments.parse_args()
    result = {
        "cpu": read_environment().cpu,
        "copies": {f"{h}x{w}": copies(h, w, given.runs) for h, w in SIZES},
        "streams": streams(given.target, given.runs),
    }
    text = json.dumps(msgspec.to_builtins(result), indent=2)
    print(text)
    if given.output:
        given.output.write_text(text + "\n")


def copies(height: int, width: int, runs: int) -> dict[str, float]:
    """Median milliseconds of a copy of one frame, and of one with its channels swapped."""
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    to = np.empty_like(frame)
    ways: dict[str, Call] = {
        "copy": lambda: copy_frames(frame, to, swap=False),
        "copy and swap": lambda: copy_frames(frame, to, swap=True),
        "frame[..., ::-1]": lambda: np.copyto(to, frame[..., ::-1]),
    }
    effort = Effort(runs=runs, seconds=0.0)
    return {name: median(collect(call, effort, warmup=3)) for name, call in ways.items()}


def streams(target: str, runs: int) -> dict[str, Any]:
    """Milliseconds of a stream of `STREAMED` frames, and the paired ratio of two ways to run it."""
    height, width = SIZES[0]
    recipe = Recipe(
        schema_version=Recipe.SCHEMA_VERSION,
        name="frame-copy",
        model=ModelChoice(name="demo"),
        data=DataChoice(name=""),
        camera_size=(height, width),
        targets=(target,),
    )
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    settings = BenchSettings(min_runs=runs, min_seconds=0.0, blocks=12, warmup=3)
    with tempfile.TemporaryDirectory() as folder:
        (bundle,) = export(recipe, Path.cwd(), Path(folder))

        @contextmanager
        def opened(color: str, copy: bool) -> Iterator[Call]:
            with load(bundle.path, color=color) as session:
                yield lambda: list(session.stream((frame for _ in range(STREAMED)), copy=copy))

        ways = {
            "borrowed": partial(opened, "rgb", copy=False),
            "copied": partial(opened, "rgb", copy=True),
            "copied and swapped": partial(opened, "bgr", copy=True),
        }
        found = {}
        for name in ("copied", "copied and swapped"):
            ours, borrowed, ratio = compare(ways[name], ways["borrowed"], settings, names=(name, "borrowed"))
            found[name] = {"ms": median(ours), "borrowed_ms": median(borrowed), "ratio": ratio}
    return found


if __name__ == "__main__":
    main()
