from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeseg.core.calibration import CalibrationList, Entry
from edgeseg.datasets import open_dataset
from edgeseg.datasets.calibration import spread
from edgeseg.datasets.held_out import held_out_images
from edgeseg.errors import DataError

STREETS = open_dataset("synthetic-streets")


class Few:
    """The first ten streets of each split."""

    name, classes, ignore_index = STREETS.name, STREETS.classes, STREETS.ignore_index

    def splits(self):
        return STREETS.splits()

    def split(self, name):
        return STREETS.split(name).limit(10)


def write(path: Path, split) -> Path:
    entries = tuple(Entry(s.id, s.sha256) for s in split.sample_list().samples)
    CalibrationList(dataset=split.dataset, split=split.name, entries=entries).write(path)
    return path


def test_what_is_left_of_the_split_evenly_spread() -> None:
    train, val = Few().split("train"), Few().split("val")
    calibrate = spread(train, 4)
    found = held_out_images(Few(), "train", (calibrate, val), count=3)
    assert len(found) == 3 and not set(found.ids) & set(calibrate.ids)


def test_near_duplicates_of_calibration_images_are_left_out() -> None:
    data = Few()
    train = data.split("train")
    calibrate = replace(train, ids=train.ids[:3])
    again = replace(
        train, read_image=lambda name: train.read_image(train.ids[0] if name == train.ids[7] else name)
    )
    data.split = lambda name: again if name == "train" else Few().split(name)  # type: ignore[method-assign]
    found = held_out_images(data, "train", (calibrate,), count=10)
    assert train.ids[7] not in found.ids and len(found) == 6


def test_no_image_is_left() -> None:
    train = Few().split("train")
    with pytest.raises(DataError, match=r"no image of synthetic-streets/train is left .* 10 of 10 calibrate"):
        held_out_images(Few(), "train", (train,), count=3)


def test_a_list_must_not_share_images(tmp_path: Path) -> None:
    train = Few().split("train")
    listed = write(tmp_path / "list.txt", replace(train, ids=train.ids[4:6]))
    found = held_out_images(Few(), "train", (replace(train, ids=train.ids[:4]),), count=9, listed=listed)
    assert found.ids == train.ids[4:6]
    with pytest.raises(DataError, match=r"1 image\(s\) .* are also in"):
        held_out_images(Few(), "train", (replace(train, ids=train.ids[:5]),), count=9, listed=listed)
