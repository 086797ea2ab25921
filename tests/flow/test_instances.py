"""A user's own ONNX network of instances on the whole road, with labels as COCO writes them: export, verify,
predict, a session that runs all day."""

import json

import numpy as np
import onnx
import pytest
from PIL import Image
from spots import CLASSES, SIZE, Spots, spots_graph

from edgeseg.core.bundle import Bundle
from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe
from edgeseg.datasets import open_dataset
from edgeseg.device.environment import MemoryWatch
from edgeseg.errors import ModelError
from edgeseg.evaluation.verify import verify
from edgeseg.flow.make import export
from edgeseg.prediction.predict import predict
from edgeseg.runtime import Instances, load

COUNT, FRAMES, GROWTH_MB = 8, 10_000, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """spots.onnx, and coco/ with the labels of its frames."""
    place, spots = tmp_path_factory.mktemp("instances"), Spots(COUNT).split("val")
    onnx.save(spots_graph(), str(place / "spots.onnx"))
    images, annotations = [], []
    (place / "coco/val").mkdir(parents=True)
    for index in range(COUNT):
        Image.fromarray(spots.image(index)).save(place / f"coco/val/{index}.png")
        images.append({"id": index, "file_name": f"{index}.png", "height": SIZE[0], "width": SIZE[1]})
        truth = spots.label(index)
        for box, label in zip(truth.boxes.tolist(), truth.labels.tolist()):
            left, top, right, bottom = box
            corners = [left, top, right, top, right, bottom, left, bottom]
            annotation = {"id": len(annotations) + 1, "image_id": index, "category_id": 10 + label}
            annotation |= {"bbox": [left, top, right - left, bottom - top], "iscrowd": 0}
            area = (right - left) * (bottom - top)
            annotations.append({**annotation, "segmentation": [corners], "area": area})
    categories = [{"id": 10 + i, "name": info.name} for i, info in enumerate(CLASSES)]
    labels = {"images": images, "annotations": annotations, "categories": categories}
    (place / "coco/annotations").mkdir()
    (place / "coco/annotations/instances_val.json").write_text(json.dumps(labels))
    return place


@pytest.fixture(scope="module", params=["runtime", "engine"])
def bundles(request, folder):
    """One for each engine."""
    recipe = Recipe(
        schema_version=Recipe.SCHEMA_VERSION,
        name="spots",
        model=ModelChoice(
            name=str(folder / "spots.onnx"),
            preprocess={"mean": (0.0,) * 3, "std": (1.0,) * 3},
            postprocess={"paste": request.param},
        ),
        data=DataChoice(name="coco", root=str(folder / "coco")),
        targets=("ort-fp32", "openvino-fp32"),
    )
    return export(recipe, folder, folder / f"bundles-{request.param}")


def test_what_was_exported_finds_what_the_labels_say(bundles, folder):
    for bundle in bundles:
        assert Bundle.open(bundle.path).manifest.model.class_names == ("red", "green", "blue")
        found = verify(bundle.path, dataset=open_dataset("coco", folder / "coco"))
        assert found.engine.metric == "mask AP" and found.engine.means["AP75"] == 1.0
        assert found.agreement.equal == 1.0


def test_predict_writes_what_coco_reads(bundles, folder, tmp_path):
    done = predict(bundles[0].path, folder / "coco/val", tmp_path / "out")
    document = json.loads((tmp_path / "out" / done.gathered).read_text())
    labels = json.loads((folder / "coco/annotations/instances_val.json").read_text())
    assert len(document["annotations"]) == len(labels["annotations"])
    assert {one["name"] for one in document["categories"]} == {"red", "green", "blue"}
    masks = [one["segmentation"] for one in document["annotations"]]
    assert all(mask["size"] == list(SIZE) and mask["counts"] for mask in masks)


def test_a_session_calls_batches_and_streams(bundles):
    spots = Spots(COUNT).split("val")
    frames = np.stack([spots.image(index) for index in range(COUNT)])
    with load(bundles[0].path) as session:
        assert isinstance(session(frames[0]), Instances)
        for found, streamed, index in zip(session(frames), session.stream(iter(frames)), range(COUNT)):
            truth = spots.label(index)
            order = np.argsort(found.labels)
            np.testing.assert_array_equal(found.labels[order], truth.labels)
            np.testing.assert_array_equal(found.boxes[order], truth.boxes)
            apart = (found.masks[order] ^ truth.masks).sum((1, 2)) / truth.masks.sum((1, 2))
            assert (apart < 0.2).all()  # torchvision's pasting is up to a pixel wider than the box
            np.testing.assert_array_equal(streamed.masks, found.masks)


def test_memory_stays_where_it_is(bundles):
    spots = Spots(COUNT).split("val")
    frames = [spots.image(index) for index in range(COUNT)]
    with load(bundles[0].path) as session:
        for frame in frames * 20:
            session(frame)
        watch = MemoryWatch()
        for turn in range(FRAMES):
            session(frames[turn % COUNT])
        growth = watch.growth_mb()
    assert growth is None or growth < GROWTH_MB


def test_a_file_that_does_not_tell_its_classes_is_refused(folder):
    recipe = Recipe(
        schema_version=Recipe.SCHEMA_VERSION,
        name="spots",
        model=ModelChoice(name=str(folder / "spots.onnx")),
        data=DataChoice(name=""),
        targets=("ort-fp32",),
    )
    with pytest.raises(ModelError, match="does not tell of how many classes"):
        export(recipe, folder, folder / "none")
