"""calibrate select and calibrate check from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from edgeseg.datasets.synthetic import SyntheticStreets


@pytest.fixture
def frames(tmp_path):
    streets = SyntheticStreets(size=(48, 64), counts={"train": 6, "val": 2})
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        for name, index in zip(streets.split(split).ids, range(6)):
            Image.fromarray(streets.split(split).image(index)).save(tmp_path / split / f"{name}.png")
    return tmp_path


def test_select_then_check(edgeseg, frames):
    made = edgeseg("calibrate", "select", "--images", "train", "-n", 4, "--not-in", "val", "-o", "list.txt")
    assert made.code == 0, made.err
    assert "list.txt: 4 of 6 images of train/images, random" in made.out
    assert "shares no image with val/images" in made.out
    assert "# made by: edgeseg calibrate select" in (frames / "list.txt").read_text()
    checked = edgeseg("calibrate", "check", "list.txt", "--images", "train", "--not-in", "val")
    assert checked.code == 0, checked.err
    assert "4 images of train/images, unchanged, beside 2 held-out images" in checked.out
    assert "verdict: the list can be used" in checked.out


def test_json_is_data(edgeseg, frames):
    made = edgeseg("calibrate", "select", "--images", "train", "-n", 4, "-o", "list.txt", "--json")
    assert len(json.loads(made.out)["ids"]) == 4
    checked = edgeseg("calibrate", "check", "list.txt", "--images", "train", "--json")
    assert json.loads(checked.out)["images"] == 4


def test_overlap_exits_2_after_the_whole_report(edgeseg, frames):
    edgeseg("calibrate", "select", "--images", "train", "-n", 4, "-o", "list.txt")
    checked = edgeseg("calibrate", "check", "list.txt", "--images", "train", "--not-in", "train")
    assert checked.code == 2
    assert "shares 4 images with train/images" in checked.out
    assert "problem: 4 image(s) also validate" in checked.out
    assert "verdict: do not use this list" in checked.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--images", "train", "-n", 7), "from 1 to 6 images"),
        (("--images", "train", "-n", 2, "--strategy", "stratfied"), "did you mean 'stratified'"),
        (("--images", "train", "-n", 2, "--not-in", "train"), "are also in train/images"),
        (("--images", "train", "-n", 2, "--strategy", "k-centre"), "--bundle"),
        (("--images", "train", "-n", 2, "--weights", "w.pt"), "without --model"),
        (("--images", "nowhere", "-n", 2), "nowhere does not exist"),
        (("--data", "synthetic-street", "-n", 2), "synthetic-streets"),
        ((), "neither --data nor --images"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(edgeseg, frames, arguments, says):
    result = edgeseg("calibrate", "select", *arguments)
    assert result.code == 2
    assert says in result.err and "Traceback" not in result.err
    assert not list(frames.rglob("*.txt")) and not list(frames.rglob("*.partial-*"))


def test_a_list_of_another_dataset_and_a_changed_image_are_refused(edgeseg, frames):
    edgeseg("calibrate", "select", "--images", "train", "-n", 4, "-o", "list.txt")
    other = edgeseg("calibrate", "check", "list.txt", "--images", "val")
    assert other.code == 2 and "of the dataset 'train', the images are of 'val'" in other.err
    name = (frames / "list.txt").read_text().splitlines()[-1].split("  ")[0]
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(frames / "train" / name)
    changed = edgeseg("calibrate", "check", "list.txt", "--images", "train")
    assert changed.code == 2 and f"changed after the list was made: {name}" in changed.err
