"""A network that sees a region of the frame, through every command."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from rectangles import CLASSES, NET, TOML, scene
from typer.testing import CliRunner

from edgeseg.calibration.contract import contract_test
from edgeseg.calibration.network import open_network
from edgeseg.cli.app import app
from edgeseg.core.bundle import Bundle
from edgeseg.core.ports import silent
from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe, StepChoice
from edgeseg.core.tiles import Tiles
from edgeseg.datasets import open_dataset
from edgeseg.device.infer import infer, score
from edgeseg.device.settings import BenchSettings
from edgeseg.errors import InputError
from edgeseg.evaluation.verify import verify
from edgeseg.flow.make import export
from edgeseg.flow.plan import make_plan
from edgeseg.flow.run import run
from edgeseg.flow.train import train
from edgeseg.prediction.predict import predict
from edgeseg.runtime import load

FRAME = (96, 128)
REGION = (24, 16, 64, 96)
TWICE = (192, 256)
TOP, LEFT, HEIGHT, WIDTH = REGION
PART = (slice(TOP, TOP + HEIGHT), slice(LEFT, LEFT + WIDTH))
QUICK = BenchSettings(min_runs=3, min_seconds=0.0)


def lying(random: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A scene whose labels are wrong outside the region."""
    image, label = scene(random, size, (16, 48))
    wrong = (label + 1) % len(CLASSES)
    wrong[PART] = label[PART]
    return image, wrong


def write_data(folder: Path, *, by_hand: bool = False) -> DataChoice:
    """Images and labels of FRAME, or `by_hand` their region."""
    random = np.random.default_rng(0)
    folder.mkdir()
    (folder / "dataset.toml").write_text(TOML)
    for split, count in (("train", 12), ("val", 4)):
        for number in range(count):
            for kind, array in zip(("images", "masks"), lying(random, FRAME)):
                (folder / kind / split).mkdir(parents=True, exist_ok=True)
                shown = array[PART] if by_hand else array
                Image.fromarray(shown).save(folder / kind / split / f"{number:02d}.png")
    return DataChoice(name="folders", root=str(folder))


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole, self.parts = write_data(folder / "whole"), write_data(folder / "parts", by_hand=True)
        (folder / "net.py").write_text(NET)

    def recipe(self, *targets: str, region: tuple | None = REGION, **fields) -> Recipe:
        model = ModelChoice(
            name=f"{self.folder / 'net.py'}:net", preprocess={"region": list(region)} if region else {}
        )
        given = {"data": self.whole if region else self.parts, **fields}
        return Recipe(schema_version=1, name="region", model=model, targets=targets, **given)

    def export(self, name: str, *targets: str, **fields) -> dict[str, Bundle]:
        made = export(self.recipe(*targets, **fields), Path.cwd(), self.folder / name)
        return {bundle.engine.target: bundle for bundle in made}


STEPS = (
    StepChoice(use="train", settings={"steps": 60, "batch": 4, "lr": 1e-2, "validate_every": 60}),
    StepChoice(use="export"),
    StepChoice(use="quantize", settings={"plan": None, "images": 4}),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("region"))


@pytest.fixture(scope="module")
def bundles(place):
    """Trained on whole images, of which the network sees the region; and on images cut by hand."""
    targets = ("ort-fp32", "openvino-int8")
    return {
        region: place.export("seen" if region else "cut", *targets, region=region, steps=STEPS)
        for region in (REGION, None)
    }


def frames(count: int) -> np.ndarray:
    return np.stack([lying(np.random.default_rng(seed), FRAME)[0] for seed in range(count)])


def test_the_input_size_is_that_of_the_region(bundles):
    bundle = bundles[REGION]["ort-fp32"]
    assert bundle.engine.camera_size == FRAME and bundle.manifest.model.input_size == (64, 96)
    assert bundle.manifest.model.preprocess.region == REGION
    assert bundle.engine.outputs[0].shape == (1, HEIGHT, WIDTH)


@pytest.mark.parametrize("target", ["ort-fp32", "openvino-int8"])
def test_training_calibration_and_engines_are_those_of_images_cut_by_hand(bundles, target):
    """All labels outside the region are wrong: nothing may learn from them."""
    shown = frames(3)
    with load(bundles[REGION][target].path) as seen, load(bundles[None][target].path) as cut:
        found, expected = seen(shown), cut(shown[:, PART[0], PART[1]])
    assert found.shape == (3, HEIGHT, WIDTH) and len(np.unique(found)) == 3
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("target", ["ort-fp32", "openvino-int8"])
def test_verify_scores_the_region(place, bundles, target, tmp_path):
    whole, parts = (open_dataset("folders", data.root) for data in (place.whole, place.parts))
    found = verify(bundles[REGION][target].path, dataset=whole, output=tmp_path)
    expected = verify(bundles[None][target].path, dataset=parts)
    assert found.engine.value > 0.85
    assert found.engine == expected.engine and found.fp32 == expected.fp32
    assert found.agreement == expected.agreement and not any("resized" in note for note in found.notes)
    with Image.open(found.worst[0].picture) as picture:
        assert picture.width == 4 * WIDTH
    unlabelled = verify(bundles[REGION][target].path, images=Path(place.whole.root) / "images" / "val")
    assert unlabelled.agreement == found.agreement


def test_images_of_another_size_are_scored_on_their_part(place, bundles, tmp_path):
    """Each pixel twice in both directions: what is found in the part of the image is scaled to its size."""
    folder = tmp_path / "twice"
    write_data(folder)
    for file in (*folder.rglob("images/val/*.png"), *folder.rglob("masks/val/*.png")):
        with Image.open(file) as opened:
            resized = opened.resize(TWICE[::-1], Image.Resampling.NEAREST)
        resized.save(file)
    path = bundles[REGION]["ort-fp32"].path
    found = verify(path, dataset=open_dataset("folders", str(folder)))
    expected = verify(path, dataset=open_dataset("folders", place.whole.root))
    assert found.engine.value == pytest.approx(expected.engine.value, abs=0.02)
    assert any("4 of 4 frame(s) were resized" in note for note in found.notes)
    shown = predict(path, folder / "images" / "val", tmp_path / "out").results[0]
    with Image.open(tmp_path / "out" / shown.mask) as mask:
        assert mask.size == (2 * WIDTH, 2 * HEIGHT)


def test_predict_colours_the_region_of_the_image(place, bundles, tmp_path):
    path, source = bundles[REGION]["ort-fp32"].path, Path(place.whole.root) / "images" / "val" / "00.png"
    result = predict(path, source, tmp_path, alpha=1.0).results[0]
    with Image.open(source) as opened:
        image = np.array(opened)
    with Image.open(tmp_path / result.overlay) as opened:
        overlay = np.array(opened)
    assert overlay.shape == image.shape
    changed = (overlay != image).any(axis=2)
    assert changed[PART].any()
    changed[PART] = False
    assert not changed.any()
    with Image.open(tmp_path / result.mask) as mask, load(path) as session:
        np.testing.assert_array_equal(np.array(mask), session(image))


def test_pytorch_is_scored_on_the_region(place):
    rows = {}
    for region, name in ((REGION, "run"), (None, "run-cut")):
        found = run(place.recipe("ort-fp32", region=region), Path.cwd(), place.folder / name, settings=QUICK)
        rows[region] = {row.target: row.score for row in found.rows}
    assert rows[REGION] == rows[None] and rows[REGION].keys() == {"torch-fp32", "ort-fp32"}
    assert rows[REGION]["torch-fp32"] == pytest.approx(rows[REGION]["ort-fp32"], abs=1e-3)


def test_pruning_and_qat_learn_what_the_region_shows(place):
    steps = (
        STEPS[0],
        StepChoice(use="prune", settings={"keep": 0.8, "finetune": {"steps": 10, "batch": 4}}),
        StepChoice(use="export"),
        STEPS[2],
        StepChoice(use="qat", settings={"steps": 10, "batch": 4, "held_out": 2}),
    )
    bundle = place.export("pruned", "openvino-int8", steps=steps)["openvino-int8"]
    found = verify(bundle.path, dataset=open_dataset("folders", place.whole.root))
    assert found.engine.value > 0.85


def test_the_command_train_sees_the_region(place, tmp_path):
    settings = {"steps": 40, "batch": 4, "lr": 1e-2, "validate_every": 40}
    scores = []
    for region, data in ((REGION, place.whole), (None, place.parts)):
        choice = place.recipe("ort-fp32", region=region).model
        result = train(choice, f"folders={data.root}", tmp_path / str(bool(region)), settings)
        scores.append(result.card.score)
    assert scores[0] == scores[1]


def test_files_of_frames_on_a_device(bundles, tmp_path):
    shown = frames(5)
    np.save(tmp_path / "frames.npy", shown)
    with load(bundles[REGION]["ort-fp32"].path) as session:
        assert infer(session, tmp_path / "frames.npy", tmp_path / "maps.npy")[0].shape == (5, HEIGHT, WIDTH)
        np.testing.assert_array_equal(np.load(tmp_path / "maps.npy"), session(shown))
        assert score(session, tmp_path / "frames.npy", tmp_path / "maps.npy").value == 1.0


def test_the_pixel_contract_is_tried_on_the_region(place, bundles):
    bundle = str(bundles[REGION]["ort-fp32"].path)
    network = open_network(bundle, None, "", FRAME, trust_file=False, progress=silent)
    images = open_dataset("folders", place.whole.root).split("val")
    found = contract_test(network, images, silent)
    assert found.fits and found.trials[0].score > 85


def test_inspect_and_export_tell_it(place, bundles, tmp_path):
    runner = CliRunner()
    shown = runner.invoke(app, ["inspect", str(bundles[REGION]["ort-fp32"].path), "--json"])
    assert json.loads(shown.stdout)["model"]["preprocess"]["region"] == list(REGION)
    net = f"{place.folder / 'net.py'}:net"
    given = ["export", "--model", net, "--classes", "3", "--target", "ort-fp32", "-o", str(tmp_path)]
    text = ",".join(map(str, REGION))
    told = runner.invoke(app, [*given, "--camera-size", "96x128", "--set", f"region={text}"])
    assert told.exit_code == 0 and "it sees 64x96 from row 24 and column 16" in told.stdout
    assert "class_map uint8 [1,64,96]" in told.stdout


def test_what_cannot_be_is_refused_before_any_work(place):
    with pytest.raises(InputError, match="frames are cut into tiles") as refusal:
        make_plan(place.recipe("ort-fp32", tiles=Tiles(size=(64, 96), overlap=8)), Path.cwd())
    assert "leave --tile out" in refusal.value.hint
    with pytest.raises(InputError, match="does not lie inside a frame of 80x128"):
        make_plan(place.recipe("ort-fp32", camera_size=(80, 128)), Path.cwd())
    with pytest.raises(InputError, match=r"24,16,64,96, and nothing tells the size of the frames"):
        make_plan(place.recipe("ort-fp32", data=DataChoice(name="")), Path.cwd())
    odd = place.recipe("ort-fp32", region=(23, 16, 64, 96))
    model = msgspec.structs.replace(odd.model, preprocess={**odd.model.preprocess, "frame": "nv12"})
    with pytest.raises(InputError, match="share colours: the frames are nv12"):
        make_plan(msgspec.structs.replace(odd, model=model), Path.cwd())


def test_a_reference_of_another_region_is_refused(place, bundles):
    path, other = (bundles[region]["ort-fp32"].path for region in (REGION, None))
    with pytest.raises(InputError, match="sees whole frames"):
        verify(path, dataset=open_dataset("folders", place.whole.root), reference=other)
