"""The command line in a fork of this process, which has imported all of it: a second instead of ten."""

from __future__ import annotations

import importlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HEAVY = (
    "torch", "torch._dynamo", "torch.onnx._internal.exporter._core", "torch._functorch.aot_autograd",
    "onnx", "onnxscript", "onnxsim", "onnxruntime", "openvino", "safetensors.torch", "accelerate",
    "edgeseg.cli", "edgeseg.flow.run", "edgeseg.flow.quantize", "edgeseg.flow.train", "edgeseg.flow.prove",
    "edgeseg.prediction.predict", "edgeseg.flow.bench", "edgeseg.flow.doctor", "edgeseg.flow.inspect",
    "edgeseg.calibration.select", "edgeseg.calibration.check", "edgeseg.models.load",
    "edgeseg.models.foreign", "edgeseg.training.loop", "edgeseg.graph.export", "edgeseg.quantization.ptq",
    "edgeseg.steps.export", "edgeseg.steps.build", "edgeseg.steps.train", "edgeseg.steps.quantize",
)  # fmt: skip
MOST_MEMORY = 24 << 30
"""Bytes of address space: what is too large fails here as it would on a machine that is full."""
MOST_FILE = 512 << 20
POLL_S, STILL_S = 0.01, 10.0


@dataclass(frozen=True)
class Done:
    """
    Attributes:
        code: exit code; the negative number of the signal that ended it; None: killed after the time limit.
    """

    code: int | None
    out: str
    err: str
    seconds: float


class Worker:
    """
    Args:
        cache: of edgeseg, shared by all runs.
        limit: seconds after which a run counts as hanging.
    """

    def __init__(self, cache: Path, limit: float = 60.0) -> None:
        self._cache = cache
        self._limit = limit
        for name in HEAVY:
            importlib.import_module(name)
        # A fork hangs where its parent has threads of OpenMP.
        importlib.import_module("torch").set_num_threads(1)

    def run(
        self,
        words: Sequence[str | bytes],
        folder: Path,
        env: Mapping[str, str | None] | None = None,
        closed: Sequence[int] = (),
    ) -> Done:
        """Run `edgeseg WORDS` in `folder`."""
        logs = [folder.parent / f"{folder.name}.{kind}" for kind in ("out", "err")]
        sys.stdout.flush()
        sys.stderr.flush()
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            self._become(words, folder, {"XDG_CACHE_HOME": str(self._cache), **(env or {})}, closed, logs)
        code = self._wait(child, start)
        seconds = time.monotonic() - start
        out, err = (log.read_bytes().decode("utf-8", "replace") for log in logs)
        for log in logs:
            log.unlink()
        return Done(code, out, err, seconds)

    def _wait(self, child: int, start: float) -> int | None:
        """Hanging is to compute for longer than the limit, or to stand still after it."""
        computed, looked = 0.0, start + self._limit
        while True:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            if (now := time.monotonic()) > looked:
                before, computed, looked = computed, _computed(child), now + STILL_S
                if computed > self._limit or computed - before < STILL_S / 1000:
                    os.killpg(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    return None
            time.sleep(POLL_S)

    def _become(
        self,
        words: Sequence[str | bytes],
        folder: Path,
        env: Mapping[str, str | None],
        closed: Sequence[int],
        logs: Sequence[Path],
    ) -> None:
        code = 1
        try:
            os.setsid()
            for number, place in ((0, Path(os.devnull)), (1, logs[0]), (2, logs[1])):
                opened = os.open(place, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
                os.dup2(opened, number)
                os.close(opened)
            resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
            resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_FILE, MOST_FILE))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.chdir(folder)
            for name, value in env.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            streams = ["stdin", "stdout", "stderr"]
            for number, name in enumerate(streams):
                encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
                errors = "backslashreplace" if number == 2 else "strict"
                mode = "w" if number else "r"
                stream = open(number, mode, encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115
                setattr(sys, name, stream)
                setattr(sys, f"__{name}__", stream)
            for number in closed:
                os.close(number)
                setattr(sys, streams[number], None)
            sys.argv = ["edgeseg", *map(os.fsdecode, words)]
            code = _main()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)


def _computed(child: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _main() -> int:
    """As the installed command ends: its exit code, 1 and a traceback for an exception."""
    from edgeseg.cli import main

    try:
        main()
    except SystemExit as stop:
        code = 0 if stop.code is None else stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    return code
