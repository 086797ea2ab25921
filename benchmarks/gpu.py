"""Every engine that runs on the GPU here: opened, self-checked, verified, and timed beside PyTorch.

    make gpu
    python benchmarks/gpu.py [--minutes 7.5] [--bundles FOLDER] [--output benchmarks/results/gpu.json]

The demo network on `synthetic-streets`, both shipped: nothing is fetched. Each target is proved in a process
of its own. Then engines and PyTorch, eager and compiled, from a frame in memory to its class map, take turns
in one process; so do int8 and half precision. What did not fit into `--minutes` is named.

Targets are those of TensorRT, TensorRT-RTX and ONNX Runtime CUDA that can run here, or those given with
`--target`, on a CPU too. Needed are Python 3.10 or newer, NumPy, msgspec, Pillow, onnx, onnxruntime (the FP32
reference), and what is to be measured: engines, torch. Where the packages that export a network are missing,
bundles made elsewhere are taken: `python benchmarks/gpu.py --prepare --bundles FOLDER` makes them, on any
machine.

Exit codes: 0 all passed, 1 something failed, 2 bad input, 3 no time for all of it, 4 nothing can run here.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
NEEDED = ("numpy", "msgspec", "PIL", "onnx", "onnxruntime")
MISSING = 4


def main() -> int:
    given = _parser().parse_args()
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        print(f"gpu: {sys.executable} lacks {', '.join(absent)}", file=sys.stderr)
        print("to fix: install them, or name a Python that has them: make gpu PYTHON=...", file=sys.stderr)
        return MISSING
    sys.path.insert(0, str(HERE.parent))
    import msgspec

    from _gpu.measure import exit_code, measure, prepare
    from _gpu.table import table
    from edgeseg.errors import EdgesegError

    try:
        if given.prepare:
            return prepare(given)
        report = measure(given)
    except EdgesegError as error:
        print(f"gpu: {error}", file=sys.stderr)
        return error.exit_code
    print(table(report))
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    return exit_code(report)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=7.5, help="all of it ends by then")
    parser.add_argument("--target", action="append", help="these instead, on a CPU too")
    parser.add_argument("--bundles", type=Path, default=Path("runs/gpu"), help="bundles made elsewhere")
    parser.add_argument("--prepare", action="store_true", help="make the bundles and end")
    parser.add_argument("--camera-size", type=int, nargs=2, default=(240, 320), metavar=("H", "W"))
    parser.add_argument("--frames", type=int, default=60, help="how many are scored")
    parser.add_argument("--runs", type=int, default=200, help="of each side of a measurement")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "gpu.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
