"""What the export of a large graph costs: peak memory, seconds and seconds of CPU, in all and per phase.

    python benchmarks/export_memory.py [--target openvino-fp32 ...] [--source factory onnx]
        [--size 2048] [--classes 29] [--output benchmarks/results/export_memory.json]

A network of five convolutions, whose scores are as large as its input, is exported without `--data` to each
target, from a user's factory and from an ONNX file, each in a process of its own with an empty cache. The
peak is `VmHWM` (proc(5)) of that process, with the interpreter, torch and the engine in it. It is reset when
the export says what it does next, so each phase has its own. `seconds` are those of the whole process; CPU
seconds beside them tell whether others took the cores. Ends with 1 beyond `--most-mb` or `--most-seconds`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgeseg.device.environment import read_environment

TARGETS = ("openvino-fp32", "ort-fp32")
SOURCES = ("factory", "onnx")
FACTORY = '''"""A small network with large scores."""

from torch import nn


class Small(nn.Module):
    def __init__(self, classes):
        super().__init__()
        widths = ((3, 16, 2), (16, 32, 2), (32, 32, 1), (32, 32, 1))
        layers = []
        for given, wanted, stride in widths:
            convolution = nn.Conv2d(given, wanted, 3, stride, 1, bias=False)
            layers += [convolution, nn.BatchNorm2d(wanted), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(32, classes, 1)

    def forward(self, image):
        scores = self.head(self.body(image))
        return nn.functional.interpolate(scores, image.shape[2:], mode="bilinear")


def network(classes: int):
    return Small(classes)
'''


def main() -> int:
    given = _arguments()
    if given.child:
        return child(given)
    result: dict[str, Any] = {"cpu": read_environment().cpu, "size": given.size, "classes": given.classes}
    result["rows"] = []
    with TemporaryDirectory(prefix="edgeseg-export-memory-") as folder:
        (Path(folder) / "net.py").write_text(FACTORY)
        if "onnx" in given.source:
            _in_a_child(given, Path(folder), "write", "")
        for source in given.source:
            for target in given.target:
                row = {"source": source, "target": target, **_in_a_child(given, Path(folder), source, target)}
                print(table(row), flush=True)
                result["rows"].append(row)
    if given.output:
        given.output.write_text(json.dumps(result, indent=1) + "\n")
    beyond = [r for r in result["rows"] if r["peak_mb"] > given.most_mb or r["seconds"] > given.most_seconds]
    return int(bool(beyond))


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--target", nargs="*", default=TARGETS)
    arguments.add_argument("--source", nargs="*", choices=SOURCES, default=SOURCES)
    arguments.add_argument("--size", type=int, default=2048)
    arguments.add_argument("--classes", type=int, default=29)
    arguments.add_argument("--most-mb", type=float, default=2500.0)
    arguments.add_argument("--most-seconds", type=float, default=40.0)
    arguments.add_argument("--output", type=Path)
    arguments.add_argument("--child", nargs=3, metavar=("FOLDER", "SOURCE", "TARGET"), help=argparse.SUPPRESS)
    return arguments.parse_args()


def table(row: dict[str, Any]) -> str:
    lines = [
        f"{row['source']} -> {row['target']}: {row['peak_mb']:.0f} MB, {row['seconds']:.1f} s, "
        f"{row['cpu_seconds']:.1f} s of CPU"
    ]
    for phase in row["phases"]:
        took = f"{phase['seconds']:6.1f} s {phase['cpu_seconds']:6.1f} s of CPU"
        lines.append(f"  {phase['peak_mb']:7.0f} MB {took}  {phase['name']}")
    return "\n".join(lines)


def _in_a_child(given: argparse.Namespace, folder: Path, source: str, target: str) -> dict[str, Any]:
    """Run this file with `--child`; what it says, and the whole of the process."""
    command = [sys.executable, __file__, "--size", str(given.size), "--classes", str(given.classes)]
    start = time.perf_counter()
    with TemporaryDirectory(prefix="edgeseg-cache-") as cache:
        process = subprocess.Popen(
            [*command, "--child", str(folder), source, target],
            env={**os.environ, "XDG_CACHE_HOME": cache},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"the export of {source} to {target} ended with {os.waitstatus_to_exitcode(status)}")
    phases = json.loads(said)
    peaks = (used.ru_maxrss * 1024 / 1e6, *(phase["peak_mb"] for phase in phases))
    return {
        "peak_mb": round(max(peaks)),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "phases": phases,
    }


def child(given: argparse.Namespace) -> int:
    """Export once and print the phases as JSON."""
    folder, source, target = given.child
    if source == "write":
        _write_onnx(Path(folder), given.size, given.classes)
        print("[]")
        return 0
    from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe
    from edgeseg.flow.make import export

    size = (given.size, given.size)
    named = {"factory": "net.py:network", "onnx": "net.onnx"}[source]
    recipe = Recipe(
        schema_version=Recipe.SCHEMA_VERSION,
        name="export-memory",
        model=ModelChoice(name=str(Path(folder) / named), input_size=size, classes=given.classes),
        data=DataChoice(name=""),
        camera_size=size,
        targets=(target,),
    )
    phases = Phases()
    export(recipe, Path.cwd(), Path(folder) / f"{source}-{target}", progress=phases)
    print(json.dumps(phases.end()))
    return 0


class Phases:
    """A `Progress` that notes peak memory, seconds and CPU seconds from each message to the next."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self._begin("start")

    def __call__(self, message: str) -> None:
        self._finish()
        self._begin(message)

    def end(self) -> list[dict[str, Any]]:
        self._finish()
        return self.found

    def _begin(self, name: str) -> None:
        self._name, self._start, self._cpu = name, time.perf_counter(), time.process_time()
        Path("/proc/self/clear_refs").write_text("5")

    def _finish(self) -> None:
        status = Path("/proc/self/status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        started = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        self.found.append({
            "name": self._name,
            "seconds": round(time.perf_counter() - self._start, 2),
            "cpu_seconds": round(time.process_time() - self._cpu, 2),
            "peak_mb": round(max(peak, started) * 1024 / 1e6),
        })  # fmt: skip


def _write_onnx(folder: Path, size: int, classes: int) -> None:
    import onnx
    import torch

    from edgeseg.graph.export import export_torch

    sys.path.insert(0, str(folder))
    from net import network

    torch.manual_seed(0)
    onnx.save(export_torch(network(classes), (3, size, size)), str(folder / "net.onnx"))


if __name__ == "__main__":
    sys.exit(main())
