"""What a device at the end of a pipe costs: starting its agent, sending a file, a frame and its class map.

    python benchmarks/devices.py [--output FILE.json]

The device is a child process with a cache of its own: what is measured is edgeseg's part, without a network
between. A frame is 360x480, the network `demo` in ONNX Runtime; its time is that of a session whose engine is
there over that of one whose engine is here, on the clock of the caller, as a paired ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.core.ports import Backends, OpenSettings
from edgeseg.device.bench import BenchSettings, compare
from edgeseg.device.environment import read_environment
from edgeseg.devices.local import LOCAL
from edgeseg.devices.remote import Remote
from edgeseg.runtime.session import Session

MEGABYTES = 64


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    found: dict[str, object] = {"cpu": read_environment().cpu}
    with TemporaryDirectory() as folder:
        cache = [f"XDG_CACHE_HOME={folder}/there"]
        command = lambda program: ["env", *cache, *program]  # noqa: E731
        for name in ("first_start_s", "start_s"):
            with Remote("there", command, sys.executable) as device:
                found[name] = seconds(device.describe)
        bundle = exported(Path(folder))
        large = Path(folder) / "large.bin"
        large.write_bytes(np.random.default_rng(0).bytes(MEGABYTES << 20))
        with Remote("there", command, sys.executable) as device:
            device.describe()
            found["send_mb_per_s"] = MEGABYTES / seconds(lambda: device._agent.send([large], large.parent))
            sides = [partial(calling, bundle, where.backend) for where in (device, LOCAL)]
            there, here, ratio = compare(*sides, BenchSettings(), names=("there", "here"))
        found |= {"there_ms": float(np.median(there)), "here_ms": float(np.median(here)), "ratio": ratio}
    text = json.dumps(msgspec.to_builtins(found), indent=2)
    print(text)
    if given.output:
        given.output.write_text(text + "\n")
    return 0


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def exported(folder: Path) -> Bundle:
    command = ["export", "--model", "demo", "--camera-size", "360x480", "--target", "ort-fp32"]
    subprocess.run(
        [sys.executable, "-m", "edgeseg", *command, "--output", str(folder)], check=True, env={**os.environ}
    )
    return Bundle.open(folder / "demo-ort-fp32")


@contextmanager
def calling(bundle: Bundle, backends: Backends) -> Iterator[Callable[[], object]]:
    frame = np.random.default_rng(0).integers(0, 256, (360, 480, 3), np.uint8)
    with Session(bundle, OpenSettings(), check=False, backends=backends) as session:
        yield lambda: session(frame)


if __name__ == "__main__":
    sys.exit(main())
