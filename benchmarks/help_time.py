"""Time `edgeseg --help`: best of five whole processes, in milliseconds. Exit 1 at or above the limit."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

LIMIT_MS = 150
RUNS = 5


def main() -> int:
    command = [str(Path(sys.executable).with_name("edgeseg")), "--help"]
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        times.append((time.perf_counter() - start) * 1e3)
    print(f"edgeseg --help: {min(times):.0f} ms (best of {RUNS}; limit {LIMIT_MS})")
    return int(min(times) >= LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
