"""Frame to things: engines of a Mask R-CNN beside torchvision's network, transforms and pasting in PyTorch.

    EDGESEG_DATA=DATA python benchmarks/instances.py equal WEIGHTS [--output FILE]
    EDGESEG_DATA=DATA python benchmarks/instances.py score WEIGHTS BUNDLE... [--output FILE]
    EDGESEG_DATA=DATA python benchmarks/instances.py speed WEIGHTS BUNDLE... [--output FILE]

WEIGHTS is a checkpoint of `edgeseg train` of `maskrcnn-mobilenet` or `maskrcnn-resnet18` on
`pennfudan-instances`, BUNDLEs were exported from it with `--camera-size` of its input.

`equal`: the static network and its graph in ONNX Runtime against torchvision's network on 100 images of
Penn-Fudan, on the same normalised pixels. Boxes and masks are compared for scores that lie apart by 1e-4.
Ends with 1 when a thing is missing, or where the static network is off by more than 0.01 pixel in a box or
1e-4 in a mask; ONNX Runtime sums in another order.

`score`: AP of masks on the validation images of Penn-Fudan in their own sizes, of eager and of each bundle,
and the drop with its paired interval.

`speed`: a frame to `Instances` (pasted masks), each bundle in blocks beside eager on the same frames, as a
paired ratio; results of both are masks of the frame's size above 0.5. A bundle whose name ends in -bf16 is
timed beside each int8 one too.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from edgeseg.core.bundle import Bundle
from edgeseg.core.instances import Instances
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.recipe import ModelChoice
from edgeseg.datasets import DATASETS
from edgeseg.datasets.pictures import resize_frame, to_camera
from edgeseg.datasets.resizing import Resizing, told_by, unsure
from edgeseg.datasets.split import Split
from edgeseg.device.bench import BenchSettings, compare
from edgeseg.device.environment import read_environment
from edgeseg.metrics.tasks import metric_of
from edgeseg.models.load import Loaded, resolve
from edgeseg.runtime import load

IMAGES = 100
NEAR = 1e-4
LARGEST = {"boxes": 0.01, "masks": 1e-4}
ROUNDS = BenchSettings(min_runs=48, min_seconds=0.0, blocks=12, warmup=3)


def main() -> int:
    given = _arguments()
    loaded = resolve(ModelChoice(name=given.model, weights=str(given.weights)))
    data = DATASETS.load("pennfudan-instances").dataset(
        "pennfudan-instances", Path(os.environ["EDGESEG_DATA"]) / "pennfudan"
    )
    found = {"equal": equal, "score": score, "speed": speed}[given.what](loaded, data, given.bundles)
    found = {"cpu": read_environment().cpu, **found}
    print(json.dumps(found, indent=1))
    if given.output:
        given.output.write_text(json.dumps(found, indent=1) + "\n")
    return int(found.get("failed", False))


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("what", choices=("equal", "score", "speed"))
    arguments.add_argument("weights", type=Path)
    arguments.add_argument("bundles", type=Path, nargs="*")
    arguments.add_argument("--model", default="maskrcnn-mobilenet")
    arguments.add_argument("--output", type=Path)
    return arguments.parse_args()


def eager_of(loaded: Loaded) -> Callable[[np.ndarray], dict[str, torch.Tensor]]:
    """torchvision's network with its transform: from a frame [H,W,3] to what it returns, masks pasted."""
    network, spec = loaded.module.network, loaded.spec
    height, width = spec.input_size
    network.transform = GeneralizedRCNNTransform(
        min(height, width), max(height, width), list(spec.preprocess.mean), list(spec.preprocess.std)
    )
    network.eval()

    def found(frame: np.ndarray) -> dict[str, torch.Tensor]:
        image = torch.from_numpy(frame).permute(2, 0, 1).float() / 255
        with torch.inference_mode():
            result: dict[str, torch.Tensor] = network([image])[0]
        return result

    return found


def things_of(result: dict[str, torch.Tensor]) -> Instances:
    return Instances(
        result["boxes"].numpy(),
        result["labels"].numpy().astype(np.int32) - 1,
        result["scores"].numpy(),
        (result["masks"][:, 0] > 0.5).numpy(),
    )


def frames_of(split: Split, spec: ModelSpec, count: int) -> np.ndarray:
    return to_camera(
        [resize_frame(split.image(i), spec.input_size) for i in range(count)], spec.preprocess.frame
    )


def equal(loaded: Loaded, data: Any, bundles: list[Path]) -> dict[str, Any]:
    from edgeseg.graph.export import export_torch
    from edgeseg.graph.fold import fold
    from edgeseg.graph.reference import run, session

    spec, eager = loaded.spec, eager_of(loaded)
    network = loaded.module.network
    heads, paste = network.roi_heads, network.transform.postprocess
    opened = session(fold(export_torch(loaded.module, spec.input_shape)))
    ways = {
        "static": lambda x: {k: v.numpy() for k, v in loaded.module(torch.from_numpy(x)).items()},
        "graph in ONNX Runtime": lambda x: run(opened, {"image": x}),
    }
    worst = {way: {"boxes": 0.0, "scores": 0.0, "masks": 0.0} for way in ways}
    things, missing, unsettled = 0, dict.fromkeys(ways, 0), 0
    assert heads.detections_per_img and paste
    network.transform.postprocess = lambda result, *sizes: result  # masks as the network gives them
    for frame in frames_of(data.split("all"), spec, IMAGES):
        right = {name: value.numpy() for name, value in eager(frame).items()}
        gaps = np.abs(np.diff(right["scores"], prepend=np.inf, append=-np.inf))
        apart = np.minimum(gaps[:-1], gaps[1:]) > NEAR
        things += int(apart.sum())
        pixels = torch.from_numpy(frame).permute(2, 0, 1).float() / 255
        image = network.transform.normalize(pixels)[None].numpy()
        for way, call in ways.items():
            with torch.inference_mode():
                found = {name: value[0] for name, value in call(image).items()}
            unsettled += int(found["unsettled"])
            missing[way] += abs(int(found["count"]) - len(apart))
            if int(found["count"]) != len(apart):
                continue
            for name, values in (("boxes", right["boxes"]), ("scores", right["scores"]),
                                 ("masks", right["masks"][:, 0])):  # fmt: skip
                off = np.abs(found[name][: len(apart)] - values).reshape(len(apart), -1).max(1, initial=0)
                worst[way][name] = max(worst[way][name], float(off[apart].max(initial=0)))
    failed = any(worst["static"][name] > limit for name, limit in LARGEST.items())
    return {
        "images": IMAGES,
        "things": things,
        "missing": missing,
        "unsettled": unsettled,
        "largest difference": worst,
        "failed": failed or any(missing.values()),
    }


def score(loaded: Loaded, data: Any, bundles: list[Path]) -> dict[str, Any]:
    spec, split = loaded.spec, data.split("val")
    metric, call = metric_of(spec), eager_of(loaded)
    eager = Resizing(unsure(lambda frames: [things_of(call(f)) for f in frames]), spec, spec.input_size)
    labels = [split.label(index) for index in range(len(split))]

    def kept_by(find: Callable[[list[Any]], list[Any]]) -> list[Any]:
        found = (find([split.image(index)])[0] for index in range(len(split)))
        return [metric.keep(label, one, full=True) for label, one in zip(labels, found)]

    before = kept_by(eager)
    figures = metric.figures(before)
    rows = [{"engine": "torchvision eager", "AP": figures.value, **figures.means}]
    for path in bundles:
        with load(path) as session:
            after = kept_by(Resizing(told_by(session), session.spec, session.camera_size))
        figures, lost = metric.figures(after), metric.drop(before, after, confidence=0.95)
        row = {"engine": path.name, "AP": figures.value, **figures.means}
        rows.append({**row, "drop": msgspec.to_builtins(lost)})
        print(rows[-1])
    return {"images": len(split), "rows": rows}


def speed(loaded: Loaded, data: Any, bundles: list[Path]) -> dict[str, Any]:
    spec, call = loaded.spec, eager_of(loaded)
    frames = frames_of(data.split("val"), spec, 12)
    rows = []
    for path in bundles:
        target, given = Bundle.open(path).engine.target, cycle(frames)
        ratio = compare(
            lambda given=given: nullcontext(lambda: things_of(call(next(given)))),
            lambda path=path: _engine(path, frames),
            ROUNDS,
            names=("torchvision eager", path.name),
        )
        rows.append(_row(path.name, *ratio))
        for other in bundles if "int8" in target else ():
            if other.name == path.name.replace("int8", "bf16"):
                ratio = compare(
                    lambda other=other: _engine(other, frames),
                    lambda path=path: _engine(path, frames),
                    ROUNDS,
                    names=(other.name, path.name),
                )
                rows.append(_row(f"{path.name} beside {other.name}", *ratio))
    return {"input": spec.input_size, "rows": rows}


@contextmanager
def _engine(path: Path, frames: np.ndarray) -> Iterator[Callable[[], Any]]:
    given = cycle(frames)
    with load(path, check=False) as session:
        yield lambda: session(next(given))


def _row(name: str, a: list[float], b: list[float], ratio: Any) -> dict[str, Any]:
    row = {"engine": name, "eager_ms": round(float(np.median(a)), 1), "ms": round(float(np.median(b)), 1)}
    row["ratio"] = msgspec.to_builtins(ratio)
    print(row)
    return row


if __name__ == "__main__":
    raise SystemExit(main())
