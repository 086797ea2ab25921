"""Folders of LabelMe whose shapes are things."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from edgeseg.datasets import open_dataset
from edgeseg.errors import DataError

SIZE = (24, 32)
TOML = """schema_version = 1
encoding = "polygons"
task = "instance"
{extra}
[[classes]]
name = "apple"
[[classes]]
name = "pear"
"""
SQUARE = [[2, 3], [6, 3], [6, 8], [2, 8]]


def shape(label, points=SQUARE, kind="polygon", group=None):
    return {"label": label, "points": points, "shape_type": kind, "group_id": group, "flags": {}}


def labelme(path, *shapes):
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"version": "5.4", "shapes": shapes, "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    path.write_text(json.dumps({**about, "imageData": None, "imagePath": f"{path.stem}.png"}))


def photo(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(coarse.repeat(4, 0).repeat(4, 1)).save(path)


def folder(tmp_path, *shapes, count=5, place="."):
    """Images `0`, `1`, ... with files beside them, the first of which has these shapes."""
    (tmp_path / "dataset.toml").write_text(TOML.format(extra=""))
    for number in range(count):
        photo(tmp_path / place / f"{number}.png", number)
        labelme(tmp_path / place / f"{number}.json", *(() if number else shapes))
    return tmp_path


def first(root):
    return open_dataset("folders", root).split("all").label(0)


def test_every_shape_is_a_thing(tmp_path):
    label = first(
        folder(
            tmp_path,
            shape("pear"),
            shape("apple"),
            shape("apple", [[10, 12], [20, 18]], "rectangle"),
            shape("apple", [[24, 8], [24, 11]], "circle"),
        )
    )
    assert label.labels.tolist() == [1, 0, 0, 0]
    assert label.boxes.tolist() == [[2, 3, 7, 9], [2, 3, 7, 9], [10, 12, 21, 19], [21, 5, 28, 12]]
    assert label.masks[2, 12:19, 10:21].all() and label.masks[2].sum() == 77


def test_shapes_of_a_group_are_one_thing(tmp_path):
    other = [[12, 3], [16, 3], [16, 8], [12, 8]]
    label = first(
        folder(
            tmp_path,
            shape("pear", group=1),
            shape("apple", group=1),
            shape("pear", other, group=1),
            shape("pear", other),
            shape("pear", other),
        )
    )
    assert label.labels.tolist() == [1, 0, 1, 1]
    assert label.boxes[0].tolist() == [2, 3, 17, 9]
    assert np.array_equal(label.masks[0], label.masks[1] | label.masks[2])


def test_files_beside_their_images_are_parted(tmp_path):
    data = open_dataset("folders", folder(tmp_path, shape("pear")))
    assert data.splits() == ("train", "val", "all")
    assert [data.split(name).ids for name in data.splits()] == [tuple("0124"), ("3",), tuple("01234")]
    assert len(data.split("all").label(1).labels) == 0
    assert [info.name for info in data.classes] == ["apple", "pear"]


@pytest.mark.parametrize("place", ["{}", "images/{}"])
def test_folders_for_splits(tmp_path, place):
    for name in ("train", "val"):
        folder(tmp_path, shape("pear"), place=place.format(name))
        if "/" in place:
            for file in (tmp_path / "images" / name).glob("*.json"):
                (tmp_path / "labels" / name).mkdir(parents=True, exist_ok=True)
                file.rename(tmp_path / "labels" / name / file.name)
    data = open_dataset("folders", tmp_path)
    assert data.splits() == ("train", "val")
    assert data.split("val").label(0).labels.tolist() == [1]


def test_classes_that_overlap_may_lie_so_too(tmp_path):
    folder(tmp_path, shape("pear"))
    (tmp_path / "dataset.toml").write_text(TOML.format(extra="").replace('task = "instance"\n', ""))
    data = open_dataset("folders", tmp_path)
    assert data.splits() == ("all",) and data.split("all").task == "multilabel"
    assert data.split("all").label(0).max() == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (shape("plum"), "a shape of the class 'plum'\nexpected: one of apple, pear"),
        (shape("pear", SQUARE[:2]), "a polygon of 2 points"),
        (shape("pear", SQUARE, "line"), "a line of 4 points"),
        (shape("pear", [["a", 1]]), r"0\.json cannot be read"),
    ],
)
def test_shapes_that_mean_nothing_are_refused(tmp_path, wrong, said):
    with pytest.raises(DataError, match=said):
        first(folder(tmp_path, wrong))


def test_an_image_without_a_file_is_named(tmp_path):
    folder(tmp_path)
    (tmp_path / "3.json").unlink()
    with pytest.raises(DataError, match=r"1 of 5 images have no mask: .*3\.png"):
        first(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"instance"', '"semantic"', "the task is 'semantic', with the encoding 'polygons'"),
        ('"polygons"', '"ids"', "the task is 'instance', with the encoding 'ids'\nexpected: one of semantic"),
        ('"instance"', '"instance"\nignore_index = 2', "ignore_index is 2, and the labels are things"),
    ],
)
def test_tasks_that_do_not_fit_are_refused(tmp_path, old, new, said):
    folder(tmp_path)
    (tmp_path / "dataset.toml").write_text(TOML.format(extra="").replace(old, new))
    with pytest.raises(DataError, match=said):
        open_dataset("folders", tmp_path)
