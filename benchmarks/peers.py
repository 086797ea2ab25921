"""edgeseg beside PyTorch, ONNX Runtime, OpenVINO, NNCF and onnxsim: same network, weights, images, machine.

    python benchmarks/peers.py mobile-unet [--bundle edgeseg-pruned=PATH] [--isa native,vnni]
    python benchmarks/peers.py eff-unet-b0 --weights best.safetensors

Phases, each kept in `--work` and repeated on its own with `--only`:

    compress  each tool quantises in a process of its own: seconds, and peak memory above its imports
    time      all contestants in one process, alternating in blocks; once natively, once without AMX and bf16
              (ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI, float with the f32 hint)
    score     mIoU of all contestants on CamVid val, once
    report    benchmarks/results/peers-NETWORK.json and .svg, and peers.md over all networks; the verdicts

Calibration images and held-out images are the same for every tool and come from CamVid train. CamVid val
decides nothing. Exit codes: 0 the verdicts pass, 1 one fails, 3 the measurement is not valid.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _peers import compress, report, scoring, timing
from _peers.material import NETWORKS, Material

PHASES = ("compress", "time", "score", "report")
EDGE_ROUNDS = 12
ISAS = {"native": {}, "vnni": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}}


def main() -> int:
    given = parse()
    bundles = dict(text.split("=", 1) for text in given.bundle)
    material = Material(
        given.network, given.weights, given.work, given.images, {k: Path(v) for k, v in bundles.items()}
    )
    if given.child:
        compress.run_child(material, given.child)
        return 0
    if given.time_here:
        timing.run(material, given.time_here, given.rounds)
        return 0
    command = [
        sys.executable,
        __file__,
        given.network,
        "--work",
        str(given.work),
        "--images",
        str(given.images),
    ]
    command += ["--weights", str(given.weights)] if given.weights else []
    phases = given.only or PHASES
    if "compress" in phases:
        compress.compress(material, command, set(given.redo))
    if "time" in phases:
        for isa in given.isa.split(","):
            rounds = given.rounds if isa == "native" else min(given.rounds, EDGE_ROUNDS)
            here = [*command, "--time-here", isa, "--rounds", str(rounds)]
            subprocess.run(here, env={**os.environ, **ISAS[isa]}, check=True)
    if "score" in phases:
        scoring.score(material)
    return report.write(material, given.results) if "report" in phases else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--weights", type=Path, help="a checkpoint instead of the given weights")
    parser.add_argument("--images", type=int, default=128, help="how many images calibrate")
    parser.add_argument(
        "--bundle", action="append", default=[], metavar="NAME=PATH", help="edgeseg-pruned=PATH"
    )
    parser.add_argument("--isa", default="native,vnni")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", action="append", choices=PHASES)
    parser.add_argument(
        "--redo", action="append", default=[], metavar="NAME", help="compress it again; all: everything"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/peers"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--time-here", choices=ISAS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
