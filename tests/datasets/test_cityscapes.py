from __future__ import annotations

import re

import numpy as np
import pytest

from edgeseg.datasets import open_dataset
from edgeseg.datasets.cityscapes import LABEL_IDS
from edgeseg.errors import DataError


@pytest.fixture
def city(tmp_path, save, photo):
    """Two cities, one frame each, with label ids 0-33."""
    ids = (np.arange(24 * 32) % 34).astype(np.uint8).reshape(24, 32)
    for seed, name in enumerate(("aachen", "bonn")):
        frame = f"{name}_000000_000019"
        save(tmp_path / "leftImg8bit" / "val" / name / f"{frame}_leftImg8bit.png", photo(seed))
        save(tmp_path / "gtFine" / "val" / name / f"{frame}_gtFine_labelIds.png", ids)
        save(tmp_path / "gtFine" / "val" / name / f"{frame}_gtFine_instanceIds.png", ids)
    return tmp_path


def test_label_ids_become_train_ids(city, photo):
    data = open_dataset("cityscapes", city)
    assert (data.splits(), len(data.classes), data.ignore_index) == (("val",), 19, 255)
    split = data.split("val")
    assert split.ids == ("aachen_000000_000019", "bonn_000000_000019")
    assert np.array_equal(split.image(1), photo(1))
    label = split.label(0).ravel()
    assert [data.classes[label[i]].name for i in (7, 8, 24, 26, 33)] == [
        "road",
        "sidewalk",
        "person",
        "car",
        "bicycle",
    ]
    assert all(label[i] == 255 for i in range(34) if i not in LABEL_IDS)


def test_train_ids_win_where_they_are(city, save):
    folder = city / "gtFine" / "val" / "bonn"
    save(folder / "bonn_000000_000019_gtFine_labelTrainIds.png", np.full((24, 32), 18, np.uint8))
    assert set(open_dataset("cityscapes", city).split("val").label(1).ravel()) == {18}


def test_a_label_id_that_does_not_exist(city, save):
    name = "aachen_000000_000019_gtFine_labelIds.png"
    save(city / "gtFine" / "val" / "aachen" / name, np.full((24, 32), 40, np.uint8))
    with pytest.raises(DataError, match=f"{re.escape(name)}: the label holds the value 40"):
        open_dataset("cityscapes", city).split("val").label(0)


def test_a_missing_label(city):
    (city / "gtFine" / "val" / "bonn" / "bonn_000000_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(DataError, match=r"1 of 2 images have no mask: .*bonn"):
        open_dataset("cityscapes", city).split("val")


def test_a_split_without_cities(city):
    for path in sorted((city / "leftImg8bit").rglob("*.png")):
        path.unlink()
        path.parent.rmdir()
    with pytest.raises(DataError, match="no city"):
        open_dataset("cityscapes", city).split("val")
