"""A far device: a child process with a folder and a cache of its own, reached by a pipe alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edgeseg.devices.remote import Remote

PASSED = ("PATH", "OMP_NUM_THREADS", "ONEDNN_MAX_CPU_ISA", "LD_LIBRARY_PATH")
OPENED = "opened.txt"
WATCH = f"""
import sys
log = open("{OPENED}", "a", buffering=1)
def watch(event, about):
    if event == "open" and isinstance(about[0], str):
        log.write(about[0] + "\\n")
sys.addaudithook(watch)
"""


def far_device(folder: Path, name: str = "far") -> Remote:
    """Its home, cache, temporary files and working directory lie in `folder`; of the environment of the host
    it has what tells the machine, no more. OPENED there tells every file that it opened."""
    for part in ("home", "tmp"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    settings = {name: os.environ[name] for name in PASSED if name in os.environ}
    settings |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}

    def command(arguments: Sequence[str]) -> Sequence[str]:
        python, option, program, *rest = arguments
        assignments = [f"{key}={value}" for key, value in settings.items()]
        return ["env", "-i", f"--chdir={folder}", *assignments, python, option, WATCH + program, *rest]

    return Remote(name, command, python=sys.executable)


def opened_by(folder: Path) -> list[Path]:
    """Every file that the far device of `folder` opened."""
    return [Path(line) for line in (folder / OPENED).read_text().splitlines()]
