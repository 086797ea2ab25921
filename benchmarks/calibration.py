"""Int8 calibration beside NNCF's: seconds and peak memory over the number of images.

    python benchmarks/calibration.py [--images 50,300] [--output benchmarks/results/calibration.json]

CamVid mobile-unet from `$EDGESEG_DATA`, training images of 480x360, decoded and preprocessed on the way. Each
run is a process of its own; the tools take turns, so that drift favours none. Memory is the peak of a process
above what it had after its imports. edgeseg runs the float graph in OpenVINO or in ONNX Runtime; both tools
correct biases (`edgeseg, ranges only` does not). Exit code 3: other programs disturbed a run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _peers import ours, roster
from _peers.compress import PREPARE
from _peers.material import Feeds, Material
from edgeseg.device.environment import MemoryWatch, others_share, read_cpu_time, read_environment
from edgeseg.device.validity import others_reasons

Calibrate = Callable[[Material], object]


def main() -> int:
    given = parse()
    material = Material("mobile-unet", None, given.work, given.count, {})
    if given.child == PREPARE:
        ours.prepare(material)
        return 0
    if given.child:
        print(json.dumps(measured(material, given.child)))
        return 0
    command = [sys.executable, __file__, "--work", str(given.work)]
    if not material.graph.exists():
        subprocess.run([*command, "--child", PREPARE], check=True)
    found: dict[str, dict[str, dict]] = {name: {} for name in TOOLS}
    for count in given.images.split(","):
        for name in TOOLS:
            child = [*command, "--child", name, "--count", count]
            done = subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True)
            found[name][count] = json.loads(done.stdout.splitlines()[-1])
            print(f"{name}, {count} images: {found[name][count]}", flush=True)
    valid = all(run["valid"] for runs in found.values() for run in runs.values())
    result = {
        "cpu": read_environment().cpu,
        "network": "mobile-unet 384x480",
        "valid": valid,
        "growth_mb": {name: growth(runs) for name, runs in found.items()},
        "runs": found,
    }
    print(json.dumps(result["growth_mb"]))
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if valid else 3


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", default="50,300")
    parser.add_argument("--work", type=Path, default=Path("runs/peers"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "calibration.json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=128, help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(material: Material, name: str) -> dict:
    modules, calibrate = TOOLS[name]
    for module in modules:
        importlib.import_module(module)
    assert material.calibration.ids
    memory, cpu, start = MemoryWatch(), read_cpu_time(), time.perf_counter()
    calibrate(material)
    seconds = time.perf_counter() - start
    reasons = list(others_reasons(others_share(cpu, read_cpu_time())))
    return {
        "seconds": round(seconds, 2),
        "peak_mb": round(memory.growth_mb() or 0.0, 1),
        "valid": not reasons,
        "reasons": reasons,
    }


def edgeseg(material: Material, **settings: object) -> object:
    import onnx

    from edgeseg.quantization.ptq import PtqSettings, quantize
    from edgeseg.quantization.schemes import scheme_for

    model = onnx.load(str(material.graph))
    return quantize(model, Feeds(material.calibration), scheme_for("openvino"), PtqSettings(**settings))


def nncf(material: Material) -> object:
    import nncf
    import openvino as ov

    model = ov.Core().read_model(str(material.graph))
    return nncf.quantize(model, nncf.Dataset(Feeds(material.calibration)), subset_size=material.images)


def growth(runs: dict[str, dict]) -> float:
    """Peak memory with the most images less that with the fewest."""
    peaks = [runs[count]["peak_mb"] for count in sorted(runs, key=int)]
    return round(peaks[-1] - peaks[0], 1)


TOOLS: dict[str, tuple[tuple[str, ...], Calibrate]] = {
    "nncf": (roster.NNCF, nncf),
    "edgeseg, OpenVINO": (roster.OURS, partial(edgeseg, engine="openvino")),
    "edgeseg, ONNX Runtime": (roster.OURS, partial(edgeseg, engine="onnxruntime")),
    "edgeseg, ranges only": (roster.OURS, partial(edgeseg, engine="openvino", correct_bias=False)),
}


if __name__ == "__main__":
    sys.exit(main())
