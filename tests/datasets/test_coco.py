"""Folders of COCO: where files lie, what they may hold, and what they must not."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from faster_coco_eval import COCO
from PIL import Image

from edgeseg.datasets import open_dataset
from edgeseg.datasets.rle import coded, runs_of
from edgeseg.errors import DataError, EdgesegWarning

HEIGHT, WIDTH = 30, 40
POLYGON = [2.0, 3.0, 12.5, 3.0, 12.5, 17.25, 2.0, 17.25]
SECOND = [20.0, 20.0, 25.0, 20.0, 22.0, 28.0]


def blob(x0, y0, x1, y1):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y0:y1, x0:x1] = True
    return mask


BLOB = blob(5, 6, 17, 20)
RUNS = {"size": [HEIGHT, WIDTH], "counts": runs_of(BLOB)}


def annotation(number=1, image=7, category=3, segmentation=None, **more):
    said = {"id": number, "image_id": image, "category_id": category}
    return {**said, "segmentation": [POLYGON] if segmentation is None else segmentation, **more}


def document(annotations, names=("a.jpg", "b.jpg"), categories=((90, "cat"), (3, "dog"))):
    """Images 7, 8, ..."""
    images = [{"id": 7 + i, "file_name": n, "height": HEIGHT, "width": WIDTH} for i, n in enumerate(names)]
    return {
        "info": {"year": 2017},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name, "supercategory": "thing"} for i, name in categories],
    }


def write(path, annotations=(), names=("a.jpg", "b.jpg"), **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(list(annotations), names, **more)))
    return path


def photos(folder, names=("a.jpg", "b.jpg"), size=(HEIGHT, WIDTH)):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(coarse).resize(size[::-1], Image.Resampling.NEAREST).save(folder / name)


def one(tmp_path, *annotations):
    """The label of image 7 in a folder of four."""
    names = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    photos(tmp_path / "images", names)
    write(tmp_path / "annotations.json", annotations, names)
    return open_dataset("coco", tmp_path).split("all").label(0)


def test_polygons_and_runs_are_masks_as_coco_tools_read_them(tmp_path):
    said = [
        annotation(1, segmentation=[POLYGON], bbox=[2, 3, 10.5, 14.25], area=149.6, iscrowd=0),
        annotation(2, category=90, segmentation=[POLYGON, SECOND]),
        annotation(3, segmentation=RUNS, iscrowd=1),
        annotation(4, segmentation=coded(BLOB), score=0.4),
    ]
    label = one(tmp_path, *said)
    theirs = COCO(str(tmp_path / "annotations.json"))
    for mask, entry in zip(label.masks, theirs.loadAnns(theirs.getAnnIds(imgIds=[7]))):
        assert np.array_equal(mask, theirs.annToMask(entry) > 0)
    assert np.array_equal(label.masks[3], BLOB)
    assert label.labels.tolist() == [0, 1, 0, 0]
    assert label.crowd.tolist() == [False, False, True, False]
    assert label.boxes[0].tolist() == [2, 3, 12.5, 17.25] and label.boxes[3].tolist() == [5, 6, 17, 20]
    assert label.area.tolist() == [149.6, label.masks[1].sum(), BLOB.sum(), BLOB.sum()]


def test_classes_are_the_categories_by_their_ids(tmp_path):
    one(tmp_path)
    data = open_dataset("coco", tmp_path)
    assert [info.name for info in data.classes] == ["dog", "cat"]
    assert all(any(info.color) for info in data.classes)
    assert data.ignore_index is None and data.split("all").task == "instance"


def test_an_image_without_things_is_one(tmp_path):
    label = one(tmp_path)
    assert label.masks.shape == (0, HEIGHT, WIDTH) and label.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (
            {
                "annotations/instances_train2017.json": "train2017",
                "annotations/instances_val2017.json": "val2017",
                "annotations/captions_val2017.json": "",
            },
            ("train", "val"),
        ),
        ({"annotations/train.json": "images/train", "annotations/val.json": "images/val"}, ("train", "val")),
        ({"annotations/instances_default.json": "images/default"}, ("train", "val", "all")),
        (
            {
                "train/_annotations.coco.json": "train",
                "valid/_annotations.coco.json": "valid",
                "test/_annotations.coco.json": "test",
            },
            ("test", "train", "val"),
        ),
        ({"_annotations.coco.json": "."}, ("train", "val", "all")),
        ({"labels.json": "data"}, ("train", "val", "all")),
        ({"result.json": "images"}, ("train", "val", "all")),
        ({"annotations/instances_val2017.json": "val2017"}, ("val",)),
        (
            {
                "annotations/instances_train2014.json": "train2014",
                "annotations/instances_train2017.json": "train2017",
            },
            ("train2014", "train2017"),
        ),
    ],
)
def test_where_files_lie(tmp_path, files, splits):
    names = tuple(f"{letter}.png" for letter in "abcd")
    for seed, (file, folder) in enumerate(files.items()):
        if folder:
            photos(tmp_path / folder, names, (HEIGHT, WIDTH))
            write(tmp_path / file, [annotation(image=7 + seed % 4)], names)
        else:
            (tmp_path / file).write_text("{}")
    data = open_dataset("coco", tmp_path)
    assert data.splits() == splits
    for name in splits:
        split = data.split(name)
        for index in range(len(split)):
            assert split.image(index).shape == (HEIGHT, WIDTH, 3)
            split.label(index)


def test_one_file_is_parted_every_fourth_image_validates(tmp_path):
    names = tuple(f"{number:02}.png" for number in range(9))
    photos(tmp_path / "images", names)
    write(tmp_path / "annotations" / "train.json", [annotation(image=7 + 3)], names)
    data = open_dataset("coco", tmp_path)
    train, val, whole = (data.split(name) for name in ("train", "val", "all"))
    assert val.ids == ("03", "07") and sorted(train.ids + val.ids) == list(whole.ids)
    assert len(val.label(0).labels) == 1 and len(train.label(0).labels) == 0


def test_file_names_of_another_machine(tmp_path):
    photos(tmp_path / "images", ("a.jpg", "b.jpg"))
    write(tmp_path / "result.json", [annotation()], (r"C:\upload\1\a.jpg", "/data/media/b.jpg"))
    split = open_dataset("coco", tmp_path).split("all")
    assert len(split) == 2 and sorted(len(split.label(i).labels) for i in (0, 1)) == [0, 1]


def test_images_of_one_name_in_two_folders_keep_them_apart(tmp_path):
    names = ("day/a.png", "night/a.png")
    photos(tmp_path / "images", names)
    write(tmp_path / "annotations.json", [annotation()], names)
    assert open_dataset("coco", tmp_path).split("all").ids == names


def test_boxes_that_are_not_those_of_the_masks_are_told(tmp_path):
    with pytest.warns(EdgesegWarning, match="states boxes that are not those of their masks"):
        label = one(tmp_path, annotation(segmentation=RUNS, bbox=[5, 6, 17, 20]))
    assert label.boxes.tolist() == [[5, 6, 17, 20]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert one(tmp_path, annotation(segmentation=RUNS, bbox=[5.5, 6, 12, 13.5])).boxes[0, 0] == 5.5


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ([[1, 1, 5, 5]], "a polygon has 2 points\nexpected: three or more"),
        ([[1, 1, 5, 5, 9]], "a polygon of 5 values"),
        ([["a", 1, 5, 5, 9, 9]], "a polygon of 6 values"),
        ([[1, 1, 5, 5, 1e300, 3]], "far outside"),
        ([1, 1, 5, 5, 9, 9], "neither polygons nor runs"),
        ([], "it has no mask\n.*\nto fix: .*boxes alone"),
        (None, "it has no mask"),
        ({"counts": [4]}, "a run-length mask of the size None"),
        ({"size": [WIDTH, HEIGHT], "counts": runs_of(BLOB)}, r"the size \[40, 30\]\nexpected: \[30, 40\]"),
        ({"size": [HEIGHT, WIDTH], "counts": [4, 5]}, "a run-length mask covers 9 pixels\nexpected: 1200"),
        ({"size": [HEIGHT, WIDTH], "counts": [4.5, 5]}, "neither polygons nor runs"),
        ({"size": [HEIGHT, WIDTH], "counts": "~~"}, "a run-length mask is '~~'"),
    ],
)
def test_masks_that_are_none_are_refused(tmp_path, segmentation, said):
    entry = {**annotation(number=41), "segmentation": segmentation}
    with pytest.raises(DataError, match=rf"annotations\.json: annotation 41 of 'a\.jpg': .*{said}"):
        one(tmp_path, entry)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["annotations"][0].update(category_id=4), "has the category 4\nexpected: one of 3, 90"),
        (lambda d: d["annotations"][0].update(image_id=99), "is of the image 99"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, -3, 4]), r"has the box \[1.0, 2.0, -3.0, 4.0\]"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), r"has the box \[1.0, 2.0, 3.0\]"),
        (lambda d: d["images"][1].update(id=7), "two images have the id 7"),
        (lambda d: d["images"][1].update(file_name="a.jpg"), "two images have the name 'a.jpg'"),
        (lambda d: d["categories"][1].update(id=90), "two categories have the id 90"),
        (lambda d: d["categories"][1].update(name="cat"), "two categories have the name 'cat'"),
        (lambda d: d["images"][0].update(height=0), "'a.jpg' has 0x40 pixels"),
        (lambda d: d["images"][0].update(height=10**6, width=10**6), "at most 100 megapixels"),
        (lambda d: d["images"][0].update(width=50), "has 30x50 pixels, its image .* has 30x40"),
        (lambda d: d["images"][0].update(file_name="z.jpg"), r"1 of 2 images .* are missing: .*z\.jpg"),
        (lambda d: d.update(images=[]), "has no image"),
        (lambda d: d["images"][1].update(file_name="x" * 2000), "a name of 2,000 characters"),
        (lambda d: d.update(categories=[]), "has no category"),
        (lambda d: d.pop("annotations"), "missing required field `annotations`"),
        (lambda d: d["annotations"][0].update(category_id="dog"), r"annotations\[0\]\.category_id"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, change, said):
    photos(tmp_path / "images")
    made = document([annotation()])
    change(made)
    (tmp_path / "annotations.json").write_text(json.dumps(made))
    with pytest.raises(DataError, match=said):
        open_dataset("coco", tmp_path).split("all").label(0)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\xff", '{"images": ' + "[" * 10**5])
def test_what_is_no_json_of_coco_is_refused(tmp_path, text):
    (tmp_path / "annotations.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"annotations\.json cannot be read"):
        open_dataset("coco", tmp_path)


def test_folders_without_labels_or_images_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds no labels of COCO\nexpected: annotations"):
        open_dataset("coco", tmp_path)
    write(tmp_path / "annotations" / "val.json")
    with pytest.raises(DataError, match=r"the images of .*val\.json are missing, such as a\.jpg"):
        open_dataset("coco", tmp_path).split("val")
    with pytest.raises(DataError, match=r"there is no split in .* 'train'"):
        open_dataset("coco", tmp_path).split("train")


def test_files_of_other_categories_are_refused(tmp_path):
    for name, categories in (("train", ((1, "dog"),)), ("val", ((1, "dog"), (2, "cat")))):
        photos(tmp_path / name)
        write(tmp_path / "annotations" / f"{name}.json", categories=categories)
    data = open_dataset("coco", tmp_path)
    assert len(data.split("train")) == 2
    with pytest.raises(DataError, match="have different categories"):
        data.split("val")


def test_a_label_that_no_memory_holds_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("edgeseg.datasets.things.MOST_BYTES", 3 * HEIGHT * WIDTH)
    one(tmp_path, *(annotation(number) for number in range(3)))
    with pytest.raises(DataError, match=r"'a\.jpg' has 4 things in an image of 30x40"):
        one(tmp_path, *(annotation(number) for number in range(4)))


def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("edgeseg.datasets._coco.MOST_BYTES", 100)
    with pytest.raises(DataError, match="at most 100"):
        one(tmp_path)
