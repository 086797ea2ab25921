"""Every kind of camera through every command. The table in docs/targets.md is this file's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cameras import CAMERAS, NET, SIZE, write_data
from PIL import Image

from edgeseg.core.bundle import Bundle
from edgeseg.core.frame import Frame
from edgeseg.core.recipe import ModelChoice, Recipe, StepChoice
from edgeseg.datasets import open_dataset
from edgeseg.datasets.framed import framed
from edgeseg.device.bench import bench
from edgeseg.device.settings import BenchSettings
from edgeseg.errors import DataError, ModelError
from edgeseg.evaluation.verify import verify
from edgeseg.flow.make import export
from edgeseg.flow.run import run
from edgeseg.flow.train import train
from edgeseg.prediction.predict import predict
from edgeseg.runtime import load

QUICK = BenchSettings(min_runs=5, min_seconds=0.0)
STEPS = {"steps": 60, "batch": 4, "lr": 1e-2, "validate_every": 60, "color": 0.1, "scale": (0.9, 1.1)}


class Place:
    """A folder with a network and labelled images of one camera; its network is trained once."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.camera = CAMERAS[name]
        self.frame = Frame.parse(self.camera.frame)
        self.data = write_data(folder / "data", self.camera)
        (folder / "net.py").write_text(NET)
        self.stated: dict[str, Any] = {"frame": self.camera.frame} if self.camera.stated else {}
        self.model = ModelChoice(
            name=f"{folder / 'net.py'}:net",
            options={"channels": self.frame.channels},
            preprocess=self.stated,
            input_size=SIZE,
        )
        trained = train(self.model, self.data.root, folder / "trained", STEPS)
        self.miou, self.weights = trained.card.score, trained.weights
        self.trained = ModelChoice(
            name=self.model.name,
            options=self.model.options,
            preprocess=self.stated,
            input_size=SIZE,
            weights=str(self.weights),
        )

    def recipe(self, *targets: str, model: ModelChoice | None = None, **fields: Any) -> Recipe:
        return Recipe(
            schema_version=1,
            name="camera",
            model=model or self.trained,
            data=self.data,
            targets=targets,
            **fields,
        )

    def onnx(self) -> Path:
        """The trained network as somebody else's exporter wrote it."""
        import torch

        from edgeseg.models.load import resolve

        path = self.folder / "own.onnx"
        if not path.is_file():
            image = torch.zeros(1, self.frame.channels, *SIZE)
            module = resolve(self.trained, frame=self.frame).module
            torch.onnx.export(module, (image,), str(path), dynamo=True, verbose=False, input_names=["image"])
        return path

    def images(self) -> list[np.ndarray]:
        """Frames as the camera delivers them."""
        split = framed(open_dataset("folders", self.data.root), self.frame).split("val")
        return [split.image(i) for i in range(len(split))]


@pytest.fixture(scope="module", params=list(CAMERAS))
def place(request, tmp_path_factory):
    return Place(tmp_path_factory.mktemp("camera"), request.param)


@pytest.fixture(scope="module")
def bundles(place):
    made = export(
        place.recipe("openvino-fp32", "ort-fp32", "rtx-fp16@sm86"), Path.cwd(), place.folder / "engines"
    )
    return {bundle.engine.target: bundle for bundle in made}


def test_train(place):
    assert place.miou > 0.85


def test_export_of_a_factory_and_verify(place, bundles):
    for target in ("openvino-fp32", "ort-fp32"):
        bundle = bundles[target]
        assert bundle.manifest.model.preprocess.frame == place.frame
        assert bundle.engine.inputs[0].dtype == place.frame.dtype
        dataset = open_dataset("folders", place.data.root)
        found = verify(bundle.path, dataset=dataset)
        assert found.value == pytest.approx(place.miou, abs=0.02) and abs(found.drop.value) < 0.1


def test_export_for_an_engine_without_16_bit_integers(place, bundles):
    """TensorRT for RTX builds here, without a GPU; its graph is proved in ONNX Runtime."""
    record = bundles["rtx-fp16@sm86"].engine
    wide = place.frame.dtype == "uint16"
    assert record.inputs[0].dtype == ("uint8" if wide else place.frame.dtype)
    assert record.inputs[0].shape == (1, *SIZE, place.frame.channels * (2 if wide else 1))


def test_export_of_an_onnx_file(place, bundles):
    model = ModelChoice(name=str(place.onnx()), preprocess=place.stated)
    made = export(place.recipe("openvino-fp32", model=model), Path.cwd(), place.folder / "own")
    assert made[0].manifest.model.preprocess.frame == place.frame
    with load(made[0].path) as own, load(bundles["openvino-fp32"].path) as factory:
        for image in place.images():
            assert (own(image) == factory(image)).mean() > 0.999


def test_quantize_prune_and_run(place):
    steps = (
        StepChoice(use="prune", settings={"keep": 0.8, "finetune": {"steps": 10, "batch": 4}}),
        StepChoice(use="export"),
        StepChoice(use="quantize", settings={"plan": None}),
    )
    recipe = place.recipe("openvino-int8", "ort-int8", steps=steps)
    found = run(recipe, Path.cwd(), place.folder / "run", settings=QUICK)
    rows = {row.target: row for row in found.rows}
    for target in ("openvino-int8", "ort-int8"):
        assert rows[target].made == "engine" and rows[target].score > 0.8, target
        assert Bundle.open(rows[target].bundle).manifest.model.preprocess.frame == place.frame


def test_predict(place, bundles, tmp_path):
    found = predict(bundles["openvino-fp32"].path, Path(place.data.root) / "images" / "val", tmp_path)
    assert len(found.results) == 6
    with Image.open(tmp_path / found.results[0].overlay) as overlay:
        assert overlay.mode == "RGB" and overlay.size == (SIZE[1], SIZE[0])


def test_bench(bundles):
    assert len(bench(bundles["ort-fp32"].path, QUICK).host_samples_ms) >= 5


def test_stream(place, bundles):
    images = place.images()
    with load(bundles["openvino-fp32"].path) as session:
        expected = session(np.stack(images))
        np.testing.assert_array_equal(list(session.stream(images)), expected)
        np.testing.assert_array_equal(list(session.stream(images, copy=False)), expected)
        if place.frame.channels == 1:
            np.testing.assert_array_equal(session(images[0][..., 0]), expected[0])


@pytest.mark.parametrize("target", ["openvino-fp32", "ort-fp32"])
def test_without_copy_results_lie_in_the_engine(place, bundles, target):
    first, second = place.images()[:2]
    with load(bundles[target].path) as session, load(bundles[target].path, copy=False) as lent:
        kept = lent(first)
        np.testing.assert_array_equal(kept, session(first))
        assert np.shares_memory(kept, lent(second))
        np.testing.assert_array_equal(kept, session(second))
        assert not np.shares_memory(session(first), session(second))


def test_images_of_another_camera_are_refused(place, bundles, tmp_path):
    other = CAMERAS["five channels" if place.frame.channels < 5 else "RGB 16"]
    write_data(tmp_path / "other", other)
    with pytest.raises(DataError, match=r"frames of the network"):
        verify(bundles["ort-fp32"].path, dataset=open_dataset("folders", tmp_path / "other"))


def test_a_frame_that_the_network_does_not_take_is_refused(place, tmp_path):
    wrong = ModelChoice(name=str(place.onnx()), preprocess={"frame": "7"})
    with pytest.raises(ModelError, match=rf"takes {place.frame.channels} channel\(s\), the frame is 7"):
        export(place.recipe("openvino-fp32", model=wrong), Path.cwd(), tmp_path / "wrong")


def test_the_table_names_every_camera():
    text = (Path(__file__).parents[2] / "docs" / "targets.md").read_text()
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert set(CAMERAS) <= set(rows)
