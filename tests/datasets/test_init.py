from __future__ import annotations

import pytest

from edgeseg.datasets import DATASETS, open_dataset
from edgeseg.errors import DataError


def test_layouts_are_found_by_listing_the_folder():
    known = {"synthetic-streets", "folders", "camvid", "cityscapes", "pennfudan", "images"}
    known |= {"pennfudan-instances", "synthetic-streets-instances", "coco"}
    assert set(DATASETS.names()) == known


def test_an_unknown_layout_names_the_nearest():
    with pytest.raises(DataError, match="camvid") as error:
        open_dataset("camvidd")
    assert "did you mean 'camvid'" in str(error.value)


@pytest.mark.parametrize("name", ["folders", "camvid", "cityscapes", "pennfudan"])
def test_layouts_on_disk_ask_for_a_folder(name, tmp_path):
    with pytest.raises(DataError, match="folder"):
        open_dataset(name)
    with pytest.raises(DataError, match="does not exist"):
        open_dataset(name, tmp_path / "nowhere")
    with pytest.raises(DataError):
        open_dataset(name, tmp_path)
