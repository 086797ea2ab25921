"""Frames larger than the network sees, through every command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from PIL import Image
from rectangles import NET, TOML, scene

from edgeseg.calibration.network import open_network
from edgeseg.core.bundle import Bundle
from edgeseg.core.ports import silent
from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe, StepChoice
from edgeseg.core.tiles import Tiles
from edgeseg.datasets import open_dataset
from edgeseg.device.bench import bench
from edgeseg.device.settings import BenchSettings
from edgeseg.errors import DataError, InputError
from edgeseg.evaluation.verify import verify
from edgeseg.flow.make import export
from edgeseg.flow.run import run
from edgeseg.graph.reference import session
from edgeseg.prediction.predict import predict
from edgeseg.runtime import load
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks.multilabel import unpacked
from edgeseg.runtime.tiles import Grid

TILE, FRAME = (64, 96), (150, 200)
TILES = Tiles(size=TILE, overlap=24)
QUICK = BenchSettings(min_runs=3, min_seconds=0.0)
SIDES = (20, 60)


def write_data(folder: Path) -> DataChoice:
    random = np.random.default_rng(0)
    folder.mkdir()
    (folder / "dataset.toml").write_text(TOML)
    for split, count in (("train", 8), ("val", 4)):
        for number in range(count):
            size = FRAME if number else (170, 230)
            for kind, array in zip(("images", "masks"), scene(random, size, SIDES)):
                (folder / kind / split).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(folder / kind / split / f"{number:02d}.png")
    return DataChoice(name="folders", root=str(folder))


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = write_data(folder / "data")
        (folder / "net.py").write_text(NET)

    def recipe(
        self, *targets: str, tiles: Tiles | None = TILES, set_: dict | None = None, input_size=TILE, **fields
    ) -> Recipe:
        model = ModelChoice(
            name=f"{self.folder / 'net.py'}:net", input_size=input_size, preprocess=set_ or {}
        )
        given = {"data": self.data, "camera_size": FRAME, **fields}
        return Recipe(schema_version=1, name="tiles", model=model, targets=targets, tiles=tiles, **given)

    def export(self, name: str, *targets: str, **fields) -> dict[str, Bundle]:
        made = export(self.recipe(*targets, **fields), Path.cwd(), self.folder / name)
        return {bundle.engine.target: bundle for bundle in made}

    @property
    def dataset(self):
        return open_dataset("folders", self.data.root)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("tiles"))


@pytest.fixture(scope="module")
def bundles(place):
    return place.export("engines", "openvino-fp32", "ort-fp32", "rtx-fp16@sm86", confidence=True)


def frames(count: int, size: tuple[int, int] = FRAME) -> np.ndarray:
    return np.stack([scene(np.random.default_rng(seed), size, SIDES)[0] for seed in range(count)])


def blended(bundle: Bundle, frame: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
    """Scores [C,rows,W] of the plain network, averaged in one go."""
    spec, plain, record = (
        bundle.manifest.model,
        onnx.load(str(bundle.file(bundle.manifest.graph))),
        bundle.engine,
    )
    opened, (name,) = session(plain, keep=True), [info.name for info in plain.graph.input]
    grid = Grid.of(frame.shape[:2], record.tiles)
    profile = [np.exp(-0.5 * ((np.arange(side) - (side - 1) / 2) / (side / 8)) ** 2) for side in grid.tile]
    weight, (first, last, _) = np.outer(*profile), rows.indices(frame.shape[0])
    total, sums = np.zeros((last - first, frame.shape[1])), 0.0
    for top, left in grid:
        start, stop = max(top, first), min(top + grid.tile[0], last)
        if start >= stop:
            continue
        tile = frame[None, top : top + grid.tile[0], left : left + grid.tile[1]]
        scores = opened.run(None, {name: preprocess(tile, spec.preprocess, spec.input_size)})[0][0]
        if not isinstance(sums, np.ndarray):
            sums = np.zeros((len(scores), *total.shape))
        part = np.s_[start - first : stop - first, left : left + grid.tile[1]]
        given = slice(start - top, stop - top)
        sums[(slice(None), *part)] += weight[given] * scores[:, given]
        total[part] += weight[given]
    return sums / total


@pytest.mark.parametrize("target", ["openvino-fp32", "ort-fp32"])
def test_the_class_is_that_of_the_averaged_scores(bundles, target):
    frame = frames(1)[0]
    with load(bundles[target].path) as opened:
        found = opened.predict(frame)
    exact = blended(bundles[target], frame)
    best = np.sort(exact, axis=0)
    clear = best[-1] - best[-2] > 1e-3
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found.class_map[clear], exact.argmax(axis=0)[clear])
    sure = np.exp(exact).max(axis=0) / np.exp(exact).sum(axis=0)
    np.testing.assert_allclose(found.confidence, sure, atol=1e-3)


@pytest.mark.parametrize("target", ["openvino-fp32", "ort-fp32"])
def test_any_batch_of_tiles_gives_the_same(place, bundles, target):
    shown = frames(2)
    with load(bundles[target].path) as opened:
        expected = opened(shown)
    for batch in (2, 4, 5):
        bundle = place.export(f"batch{batch}", target, batch=batch)[target]
        with load(bundle.path, streams=2) as opened:
            assert opened.batch == 1
            np.testing.assert_array_equal(opened(shown), expected)
            np.testing.assert_array_equal(list(opened.stream(shown)), expected)


def test_a_frame_of_one_tile_gives_what_the_untiled_engine_gives(place, bundles):
    shown = frames(3, TILE)
    whole = place.export("whole", "openvino-fp32", tiles=None, camera_size=TILE, confidence=True)
    with load(whole["openvino-fp32"].path) as untiled, load(bundles["openvino-fp32"].path) as tiled:
        np.testing.assert_array_equal(tiled(shown), untiled(shown))
        confidences = [opened.predict(shown).confidence for opened in (tiled, untiled)]
    np.testing.assert_allclose(*confidences, atol=1e-5)


def test_frames_of_any_size_from_one_tile_up(bundles):
    with load(bundles["ort-fp32"].path) as opened:
        for size in (TILE, (64, 97), (300, 96), (151, 333)):
            assert opened(frames(1, size)).shape == (1, *size)
        with pytest.raises(InputError, match="smaller than a tile of 64x96"):
            opened(frames(1, (63, 200)))
        with pytest.raises(InputError, match=r"float32 \[150, 200, 3\]"):
            opened(frames(1)[0].astype(np.float32))


def test_built_for_tensorrt_and_proved_in_onnxruntime(bundles):
    bundle = bundles["rtx-fp16@sm86"]
    assert bundle.engine.outputs[0].shape == (1, 3, *TILE) and bundle.engine.camera_size == FRAME
    assert bundle.manifest.checks[-1].agreement > 0.99


@pytest.mark.parametrize("frame", ["nv12", "rgb:uint16", "bayer_rggb"])
def test_frames_of_other_cameras(place, frame):
    made = place.export(
        frame.replace(":", "-"), "openvino-fp32", set_={"frame": frame}, data=DataChoice(name="")
    )
    bundle = made["openvino-fp32"]
    with load(bundle.path) as opened:
        shape, dtype = opened.frame.shape(*FRAME), opened.frame.dtype
        assert opened(np.random.default_rng(0).integers(0, 255, shape).astype(dtype)).shape == FRAME


def test_verify_predict_and_bench_take_whole_images(place, bundles, tmp_path):
    found = verify(bundles["openvino-fp32"].path, dataset=place.dataset)
    assert found.frames == 4 and found.agreement.equal == 1.0
    assert not any("resized" in note for note in found.notes)
    pictures = predict(
        bundles["openvino-fp32"].path, Path(place.data.root) / "images" / "val", tmp_path / "out"
    )
    with Image.open(tmp_path / "out" / pictures.results[0].mask) as mask:
        assert mask.size == (230, 170)
    measured = bench(bundles["ort-fp32"].path, QUICK)
    assert measured.settings["device"].endswith("all tiles") and measured.batch == 1


def test_train_prune_quantize_and_run(place):
    training = {"steps": 60, "batch": 4, "lr": 1e-2, "validate_every": 60}
    steps = (
        StepChoice(use="train", settings=training),
        StepChoice(use="prune", settings={"keep": 0.8, "finetune": {"steps": 10, "batch": 4}}),
        StepChoice(use="export"),
        StepChoice(use="quantize", settings={"plan": {"blocks": 2}, "images": 4}),
    )
    found = run(
        place.recipe("openvino-int8", "ort-fp32", steps=steps),
        Path.cwd(),
        place.folder / "run",
        settings=QUICK,
    )
    rows = {row.target: row for row in found.rows}
    assert rows["openvino-int8"].score > 0.85 and rows["ort-fp32"].score > 0.85
    assert Bundle.open(rows["openvino-int8"].bundle).engine.tiles == TILES


def test_calibration_sees_the_middle_of_each_image(place, bundles):
    path = str(bundles["ort-fp32"].path)
    network = open_network(path, None, "", FRAME, trust_file=False, progress=silent)
    assert network is not None
    whole = place.dataset.split("train")
    seen = network.seen(whole)
    assert seen.ids == whole.ids and seen.label(1).shape == TILE
    np.testing.assert_array_equal(seen.image(1), whole.image(1)[43:107, 52:148])
    assert network.feed(seen.image(1))["image"].shape == (1, 3, *TILE)


def test_pytorch_takes_the_same_tiles(place):
    found = run(place.recipe("ort-fp32"), Path.cwd(), place.folder / "beside", settings=QUICK)
    torch, engine = found.rows
    assert torch.target == "torch-fp32" and torch.score == pytest.approx(engine.score, abs=1e-3)


ONE_FRAME = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
from edgeseg.runtime import load

with load(sys.argv[1]) as session:
    shape, most = session.frame.shape(*session.camera_size), int(session.frame.full) + 1
    frame = np.random.default_rng(0).integers(0, most, shape, dtype=session.frame.dtype)
    found = session(frame)
np.save(Path(sys.argv[1]).with_name("found.npy"), found)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
digest, kinds = hashlib.sha256(found.tobytes()).hexdigest(), len(np.unique(found))
print(json.dumps([int(peak.split()[1]) * 1024 / 1e6, digest, kinds, found.shape]))
"""


def one_frame(bundle: Path) -> tuple[float, str, int, list[int]]:
    """Peak memory in megabytes of a process that runs one frame, and what it found."""
    command = [sys.executable, "-c", ONE_FRAME, str(bundle)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_a_large_frame_fits_into_a_gigabyte_whatever_the_batch(place):
    digests = set()
    for batch in (1, 2, 4):
        fields = {"tiles": Tiles(size=(512, 512)), "camera_size": (3000, 4000), "data": DataChoice(name="")}
        made = place.export(f"large{batch}", "openvino-fp32", batch=batch, input_size=(512, 512), **fields)
        megabytes, digest, kinds, shape = one_frame(made["openvino-fp32"].path)
        assert megabytes < 1000 and kinds == 3 and shape == [3000, 4000]
        digests.add(digest)
    assert len(digests) == 1


@pytest.mark.parametrize("target", ["openvino-fp32", "ort-fp32"])
def test_29_overlapping_classes_over_2048x2048(place, target):
    size, tiles = (2048, 2048), Tiles(size=(512, 512))
    model = ModelChoice(
        name=f"{place.folder / 'net.py'}:net",
        input_size=tiles.size,
        classes=29,
        task="multilabel",
        options={"channels": 1},
        preprocess={"frame": "gray:uint16"},
    )
    recipe = place.recipe(target, "rtx-fp16@sm86", tiles=tiles, camera_size=size, data=DataChoice(name=""))
    bundle, _ = export(
        msgspec.structs.replace(recipe, model=model), Path.cwd(), place.folder / f"bits-{target}"
    )
    megabytes, _, _, shape = one_frame(bundle.path)
    assert megabytes < 4000 and shape == [*size, 4]
    frame = np.random.default_rng(0).integers(0, 65536, (*size, 1), dtype=np.uint16)
    found = unpacked(np.load(bundle.path.with_name("found.npy"))[400:700], 29)
    scores = np.moveaxis(blended(bundle, frame, slice(400, 700)), 0, -1)
    clear = np.abs(scores) > 1e-4
    assert clear.mean() > 0.99 and 0.05 < found.mean() < 0.95
    np.testing.assert_array_equal(found[clear], (scores > 0)[clear])


def test_images_smaller_than_a_tile_are_refused(place, tmp_path):
    data = write_data(tmp_path / "small")
    Image.fromarray(scene(np.random.default_rng(0), (60, 200), SIDES)[0]).save(
        tmp_path / "small/images/train/03.png"
    )
    Image.fromarray(np.zeros((60, 200), np.uint8)).save(tmp_path / "small/masks/train/03.png")
    with pytest.raises(DataError, match=r"60x200 pixels .*"):
        export(place.recipe("openvino-int8", data=data), Path.cwd(), tmp_path / "out")
    with pytest.raises(InputError, match="a frame of 40x40"):
        export(place.recipe("openvino-fp32", camera_size=(40, 40)), Path.cwd(), tmp_path / "out")


def test_tiles_end_where_pixels_share_no_colour(place, tmp_path):
    recipe = place.recipe(
        "ort-fp32", tiles=Tiles(size=(63, 96)), set_={"frame": "nv12"}, data=DataChoice(name="")
    )
    with pytest.raises(InputError, match=r"tiles are 63x96 .*, the frames are nv12"):
        export(recipe, Path.cwd(), tmp_path / "out")


def test_labels_decided_below_the_size_of_a_tile_are_refused(place, tmp_path):
    tiles, choice = Tiles(size=(128, 192)), place.recipe("ort-fp32")
    model = msgspec.structs.replace(
        choice.model, postprocess={"upsample": "labels"}, preprocess={"resize": "stretch"}
    )
    with pytest.raises(InputError, match="upsample is labels"):
        export(msgspec.structs.replace(choice, tiles=tiles, model=model), Path.cwd(), tmp_path / "out")
