"""A list gives back its images in its order, or says which are missing or changed."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from edgeseg.core.calibration import CalibrationList, Entry
from edgeseg.datasets.calibration import listed_images, open_list
from edgeseg.datasets.synthetic import SyntheticStreets
from edgeseg.errors import DataError


@pytest.fixture(scope="module")
def dataset():
    return SyntheticStreets(size=(48, 64), counts={"calib": 4, "val": 2})


@pytest.fixture
def listed(dataset):
    samples = dataset.split("calib").sample_list().samples
    entries = tuple(Entry(samples[i].id, samples[i].sha256) for i in (2, 0))
    return CalibrationList(dataset=dataset.name, split="calib", entries=entries)


def test_a_list_is_read_back_into_the_samples_it_was_made_of(dataset, listed, tmp_path):
    listed.write(tmp_path / "calib.txt")
    chosen = open_list(tmp_path / "calib.txt", dataset)
    all_samples = dataset.split("calib").sample_list().samples
    assert chosen.ids == ("calib-0002", "calib-0000")
    assert chosen.sample_list().samples == (all_samples[2], all_samples[0])


def test_a_changed_image_is_named(dataset, listed):
    split = dataset.split("calib")
    darker = replace(split, read_image=lambda name: split.read_image(name) // 2, _samples={})
    with pytest.raises(DataError, match=r"2 of 2 listed images were changed.*calib-0002"):
        listed_images(listed, darker)


def test_a_missing_image_is_named(dataset, listed):
    with pytest.raises(DataError, match="1 of 2 listed images are missing: calib-0002"):
        listed_images(listed, dataset.split("calib").limit(2))


def test_a_list_of_another_dataset_or_split_is_refused(dataset, listed, tmp_path):
    other = msgspec.structs.replace(listed, dataset="camvid")
    other.write(tmp_path / "calib.txt")
    with pytest.raises(DataError, match="of the dataset 'camvid', the images are of 'synthetic-streets'"):
        open_list(tmp_path / "calib.txt", dataset)
    with pytest.raises(DataError, match="of the split 'calib', the images are 'val'"):
        listed_images(listed, dataset.split("val"))
