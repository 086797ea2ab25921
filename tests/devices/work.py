"""What a host does with a device, as a program: `python work.py FOLDER [far]`. What it found goes to
`FOLDER/found.json`.

With `far`, this process has no engine but ONNX Runtime, which checks graphs: whoever imports another one gets
an ImportError.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from far import far_device
from small import CLASSES, deferred, save

from edgeseg.core.bundle import Bundle
from edgeseg.core.recipe import Budget, DataChoice, ModelChoice, Recipe, StepChoice
from edgeseg.core.target import Target
from edgeseg.datasets import open_dataset
from edgeseg.device.settings import BenchSettings
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.evaluation.verify import Verification, verify
from edgeseg.flow.bench import bench
from edgeseg.flow.build import build
from edgeseg.flow.latency import EngineStopwatch
from edgeseg.flow.make import export
from edgeseg.flow.quantize import quantize
from edgeseg.flow.run import run

ENGINES = ("openvino", "tensorrt", "tensorrt_rtx")
NET = """
import torch
from torch import nn

def net(classes=2):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, classes, 1),
    )
"""
QUICK = BenchSettings(warmup=1, min_runs=30, min_seconds=0.0)


def main() -> None:
    folder, device = Path(sys.argv[1]), sys.argv[2:]
    if device:
        sys.modules.update(dict.fromkeys(ENGINES))  # type: ignore[arg-type]
        with far_device(folder / "device") as there:
            found = work(folder, there)
    else:
        found = work(folder, LOCAL)
    (folder / "found.json").write_text(json.dumps(msgspec.to_builtins(found)))


def work(folder: Path, device: Device) -> dict[str, Any]:
    (folder / "net.py").write_text(NET)
    data = write_data(folder / "lab")
    recipe = Recipe(
        schema_version=1,
        name="far",
        model=ModelChoice(name=str(folder / "net.py:net"), input_size=(32, 32)),
        data=data,
        targets=("openvino-fp32", "openvino-bf16"),
    )
    fp32, bf16 = export(recipe, folder, folder / "bundles", device=device)
    found: dict[str, Any] = {"exported": [about(fp32), about(bf16)]}
    dataset = open_dataset(data.name, Path(data.root))
    found["verified"] = scores(verify(fp32.path, dataset=dataset, device=device))
    built = build(deferred(fp32, folder / "deferred").path, str(folder / "built"), device=device)
    found["built"] = about(built)
    timed = bench(built.path, vs=str(bf16.path), min_runs=30, min_seconds=0.0, openings=2, device=device)
    found["timed"] = [[m.target, m.hardware, len(m.host_samples_ms) >= 30] for m in timed.measurements]
    int8 = msgspec.structs.replace(recipe, targets=("openvino-int8",))
    (every,) = quantize(int8, folder, folder / "int8", plan=False, device=device)
    found["int8"] = about(Bundle.open(every.path))
    within = msgspec.structs.replace(int8, budget=Budget(max_drop=50.0))
    (planned,) = quantize(within, folder, folder / "planned", calibration="8", device=device)
    assert planned.planned is not None
    found["planned"] = [planned.kind, planned.planned.latency, planned.planned.met]
    found["blocks"] = [[block.name, block.drop, block.changed] for block in planned.planned.blocks]
    pruned = (StepChoice(use="prune", settings=PRUNE), StepChoice(use="export"))
    whole = msgspec.structs.replace(recipe, steps=pruned, targets=("openvino-fp32",))
    result = run(whole, folder, folder / "run", settings=QUICK, device=device)
    stopwatch, target = EngineStopwatch(device=device), Target.parse("openvino-fp32")
    graph = fp32.file("graph.onnx")
    found["raced"] = [lap.over_first is not None for lap in stopwatch.race([graph, graph], target)]
    found["layers"] = sorted(stopwatch.layers(graph, target))
    found["run"] = [[row.target, row.made, row.score] for row in result.rows]
    found["measured"] = [row.measurement is not None for row in result.rows]
    return found


PRUNE = {"keep": 0.6, "layer_keep": 0.5}


def write_data(folder: Path) -> DataChoice:
    """Blocks of noise, labelled by what is bright in them."""
    folder.mkdir()
    (folder / "dataset.toml").write_text(CLASSES)
    random = np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 8)):
        for index in range(count):
            coarse = random.integers(0, 255, (8, 8, 3), np.uint8)
            pixels = np.kron(coarse, np.ones((4, 4, 1), np.uint8))
            save(folder / "images" / split / f"{index}.png", pixels)
            save(folder / "masks" / split / f"{index}.png", pixels[..., 0] > 128)
    return DataChoice(name="folders", root=str(folder))


def about(bundle: Bundle) -> dict[str, Any]:
    """What must be the same wherever a bundle was made."""
    manifest = bundle.manifest
    files = {n: f.sha256 for n, f in manifest.files.items() if not n.startswith("engine/")}
    engine = sorted(name for name in manifest.files if name.startswith("engine/"))
    return {"kind": manifest.kind, "files": files, "engine": engine, "build": manifest.build}


def scores(found: Verification) -> list[Any]:
    return [found.engine, found.fp32, found.drop, found.agreement, found.verdict.status, found.frames]


if __name__ == "__main__":
    main()
