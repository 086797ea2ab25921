"""Pruned engines against the unpruned Mobile-UNet: mIoU lost on CamVid val, and how many times faster.

    EDGESEG_DATA=... python benchmarks/pruning.py BUNDLE... [--output benchmarks/results/pruning.json]

BUNDLE: engine bundles that the recipes `mobile-unet-pruned` and `mobile-unet-pruned-qat` made. Each is
compared with the engine of the given weights in the same precision, an int8 one with bf16. Both are scored
once on the 101 frames; the drop has the interval that `verify` gives it. Then they alternate in
blocks in one process; the ratio is time of the unpruned engine over time of the pruned one, with its 95%
interval. Exit code 1: a drop above 1.0 points, or a ratio of a float engine whose interval is not above 1.6;
3: not valid. `benchmarks/peers.py mobile-unet --bundle edgeseg-pruned=BUNDLE` holds the int8 engine against
OpenVINO's own default.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import msgspec

from edgeseg.core.bundle import Bundle
from edgeseg.core.measurement import PairedRatio
from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe
from edgeseg.datasets import open_dataset
from edgeseg.device.bench import BenchSettings, bench_pair
from edgeseg.device.environment import read_environment
from edgeseg.evaluation.verification import Drop
from edgeseg.evaluation.verify import verify
from edgeseg.flow.make import export

DATA = Path(os.environ.get("EDGESEG_DATA", ""))
WEIGHTS = DATA / "weights" / "munet_camvid.pt"
CAMVID = DATA / "camvid"
BASELINES = {"openvino-int8": "openvino-bf16"}
MAX_DROP, FLOAT_RATIO = 1.0, 1.6


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One pruned engine beside its unpruned one: mIoU in percent, median device milliseconds."""

    target: str
    baseline: str
    miou: float
    baseline_miou: float
    drop: Drop
    ms: float
    baseline_ms: float
    device: PairedRatio
    host: PairedRatio
    notes: tuple[str, ...]

    @property
    def wanted(self) -> float:
        return FLOAT_RATIO if self.target == self.baseline else 1.0

    @property
    def met(self) -> bool:
        return self.drop.value <= MAX_DROP and self.device.low >= self.wanted


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [compared(Bundle.open(path), Path(folder), arguments.runs) for path in arguments.bundles]
    for row in rows:
        print(told(row))
    if arguments.output:
        result = {"cpu": read_environment().cpu, "rows": msgspec.to_builtins(rows)}
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    if not all(row.device.valid for row in rows):
        return 3
    return 0 if all(row.met for row in rows) else 1


def compared(pruned: Bundle, folder: Path, runs: int) -> Row:
    baseline = unpruned(BASELINES.get(pruned.engine.target, pruned.engine.target), folder)
    proof = verify(pruned.path, dataset=open_dataset("camvid", CAMVID), reference=baseline.path)
    settings = BenchSettings(min_runs=runs, min_seconds=0.0, blocks=12)
    slow, fast, device, host = bench_pair(baseline.path, pruned.path, settings)
    return Row(
        target=pruned.engine.target,
        baseline=baseline.engine.target,
        miou=100.0 * proof.engine.value,
        baseline_miou=100.0 * proof.fp32.value,
        drop=proof.drop,
        ms=fast.device.p50,
        baseline_ms=slow.device.p50,
        device=device,
        host=host,
        notes=pruned.manifest.notes,
    )


def unpruned(target: str, folder: Path) -> Bundle:
    """The engine of the given weights."""
    recipe = Recipe(
        schema_version=1,
        name="unpruned",
        model=ModelChoice(name="mobile-unet", weights=str(WEIGHTS)),
        data=DataChoice(name="camvid", root=str(CAMVID)),
        targets=(target,),
    )
    return export(recipe, Path.cwd(), folder, overwrite=True)[0]


def told(row: Row) -> str:
    def interval(ratio: PairedRatio) -> str:
        return f"{ratio.ratio:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"

    return (
        f"{row.target} over unpruned {row.baseline}: device {interval(row.device)} (at least {row.wanted}), "
        f"host {interval(row.host)}; {row.baseline_ms:.2f} -> {row.ms:.2f} ms; "
        f"mIoU {row.baseline_miou:.2f} -> {row.miou:.2f}, "
        f"drop {row.drop.value:.2f} [{row.drop.interval}] (at most {MAX_DROP})"
    )


if __name__ == "__main__":
    sys.exit(main())
