"""What tiles cost and what they are worth.

    python benchmarks/tiles.py cost [--size 3000x4000] [--tile 512x512] [--target openvino-fp32]
        [--network mobile-unet] [--batch 1 2 4] [--output benchmarks/results/tiles_cost.json]
    python benchmarks/tiles.py worth [--limit 101] [--output benchmarks/results/tiles_worth.json]

`cost`: a frame of noise in a network without training, 11 classes, each batch of tiles in a process of its
own that only opens the bundle. `peak_mb` is its `VmHWM` (proc(5)), with interpreter and engine; `growth_mb`
is what it grew by since the bundle was open. `engine_share` is the part of the time that the engine ran.
Ends with 1 when batches differ in one pixel, or a peak lies above `--most-mb`.

`worth`: mIoU on CamVid val of a Mobile-UNet in openvino-fp32, which was trained on whole images of 360x480.
Its input holds a quarter of a frame, once because it is small, once because the images are enlarged to double
size (bilinear; labels nearest). Frames are shrunk to it, or cut. EDGESEG_DATA names the data.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgeseg.device.environment import read_environment

CASES = {"images of 360x480": ((360, 480), (192, 256)), "enlarged to 720x960": ((720, 960), (384, 512))}
"""(height, width) of frames and of the network's input."""
WAYS: dict[str, dict[str, Any] | None] = {
    "shrunk": None,
    "tiles, 64 shared, gaussian": {"overlap": 64},
    "tiles, 64 shared, flat": {"overlap": 64, "blend": "flat"},
    "tiles, 0 shared": {"overlap": 0},
    "tiles, 128 shared, gaussian": {"overlap": 128},
}


def main() -> int:
    given = _arguments()
    if given.what == "child":
        return child(Path(given.bundle), _size(given.size))
    found = cost(given) if given.what == "cost" else worth(given)
    print(json.dumps(found, indent=1))
    if given.output:
        given.output.write_text(json.dumps(found, indent=1) + "\n")
    if given.what == "worth":
        return 0
    rows = found["rows"]
    return int(
        len({row["digest"] for row in rows}) > 1 or any(row["peak_mb"] > given.most_mb for row in rows)
    )


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("what", choices=("cost", "worth", "child"))
    arguments.add_argument("bundle", nargs="?", help=argparse.SUPPRESS)
    arguments.add_argument("--size", default="3000x4000")
    arguments.add_argument("--tile", default="512x512")
    arguments.add_argument("--target", default="openvino-fp32")
    arguments.add_argument("--network", default="mobile-unet")
    arguments.add_argument("--batch", type=int, nargs="*", default=[1, 2, 4])
    arguments.add_argument("--most-mb", type=float, default=1000.0)
    arguments.add_argument("--limit", type=int, default=0)
    arguments.add_argument("--output", type=Path)
    return arguments.parse_args()


def _size(text: str) -> tuple[int, int]:
    height, width = map(int, text.split("x"))
    return height, width


def _exported(folder: Path, target: str, **fields: Any) -> Path:
    from edgeseg.core.recipe import DataChoice, Recipe
    from edgeseg.flow.make import export

    fields = {"data": DataChoice(name=""), **fields}
    recipe = Recipe(schema_version=Recipe.SCHEMA_VERSION, name="tiles", targets=(target,), **fields)
    return export(recipe, Path.cwd(), folder)[0].path


def cost(given: argparse.Namespace) -> dict[str, Any]:
    from edgeseg.core.recipe import ModelChoice
    from edgeseg.core.tiles import Tiles

    rows = []
    with TemporaryDirectory(prefix="edgeseg-tiles-") as folder:
        for batch in given.batch:
            bundle = _exported(
                Path(folder) / str(batch),
                given.target,
                model=ModelChoice(name=given.network, classes=11),
                camera_size=_size(given.size),
                tiles=Tiles(size=_size(given.tile)),
                batch=batch,
            )
            command = [sys.executable, __file__, "child", str(bundle), "--size", given.size]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rows.append({"batch": batch, **json.loads(done.stdout)})
            print(rows[-1], file=sys.stderr)
    about = {"size": given.size, "tile": given.tile, "target": given.target, "network": given.network}
    return {"cpu": read_environment().cpu, **about, "rows": rows}


def child(bundle: Path, size: tuple[int, int]) -> int:
    """Run one frame three times, and tell of the last."""
    from edgeseg.device.environment import MemoryWatch
    from edgeseg.runtime import load

    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    with load(bundle) as session:
        watch, spent = MemoryWatch(), []
        for _ in range(3):
            start = time.perf_counter()
            found = session(frame)
            spent.append(time.perf_counter() - start)
        growth = watch.growth_mb()
        blank = {i.name: np.zeros(i.shape, i.dtype) for i in session.engine.inputs}
        alone, tiles = session.engine.request(), _tiles(session, size)
        alone.write(blank)
        engine = min(alone.execute() for _ in range(10)) * -(-tiles // session.bundle.engine.batch)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    result = {
        "tiles": tiles,
        "seconds": round(min(spent), 3),
        "engine_share": round(engine / 1e3 / min(spent), 2),
        "peak_mb": round(int(peak.split()[1]) * 1024 / 1e6),
        "growth_mb": None if growth is None else round(growth),
        "digest": hashlib.sha256(found.tobytes()).hexdigest(),
    }
    print(json.dumps(result))
    return 0


def _tiles(session: Any, size: tuple[int, int]) -> int:
    from edgeseg.runtime.tiles import Grid

    return len(Grid.of(size, session.bundle.engine.tiles))


def worth(given: argparse.Namespace) -> dict[str, Any]:
    from msgspec.structs import replace

    from edgeseg.core.recipe import ModelChoice
    from edgeseg.core.tiles import Tiles
    from edgeseg.datasets import open_dataset
    from edgeseg.datasets.pictures import seen_by
    from edgeseg.evaluation.verify import verify_call
    from edgeseg.runtime import load

    data = Path(os.environ["EDGESEG_DATA"])
    camvid = open_dataset("camvid", data / "camvid")
    model = ModelChoice(
        name="mobile-unet", weights=str(data / "weights" / "munet_camvid.pt"), classes="camvid"
    )
    result: dict[str, Any] = {"cpu": read_environment().cpu, "frames": 0, "miou": {}}
    for case, (size, window) in CASES.items():
        images = seen_by(camvid.split("val").limit(given.limit), size)
        result["frames"], rows = len(images), result["miou"].setdefault(case, {})
        for way, tiles in WAYS.items():
            cut = None if tiles is None else Tiles(size=window, **tiles)
            rule = "stretch" if tiles is None else "none"
            own = replace(model, input_size=window, preprocess={"resize": rule})
            with TemporaryDirectory(prefix="edgeseg-tiles-") as folder:
                bundle = _exported(Path(folder), "openvino-fp32", model=own, camera_size=size, tiles=cut)
                with load(bundle) as session:
                    value = verify_call(session, session.spec, session.bundle.engine.fixed_size, images)
            assert value is not None
            rows[way] = round(100 * value, 2)
            print(case, way, rows[way], file=sys.stderr)
    return result


if __name__ == "__main__":
    sys.exit(main())
