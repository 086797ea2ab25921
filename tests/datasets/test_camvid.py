from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgeseg.core.samples import require_disjoint
from edgeseg.datasets import open_dataset
from edgeseg.errors import DataError


def test_the_layout(tmp_path, save, photo):
    ids = (np.arange(24 * 32) % 12).astype(np.uint8).reshape(24, 32)
    for seed, name in enumerate(("train", "val")):
        save(tmp_path / name / "0001.jpg", photo(seed))
        save(tmp_path / f"{name}annot" / "0001.png", ids)
    data = open_dataset("camvid", tmp_path)
    assert data.splits() == ("train", "val")
    assert np.array_equal(data.split("val").label(0), ids)
    assert (len(data.classes), data.ignore_index) == (11, 11)
    save(tmp_path / "valannot" / "0001.png", ids + 1)
    with pytest.raises(DataError, match="value 12"):
        data.split("val").label(0)


def test_another_folder(flat):
    with pytest.raises(DataError, match="trainannot"):
        open_dataset("camvid", flat)


def test_the_real_data(real_data):
    data = open_dataset("camvid", real_data / "camvid")
    train, val = data.split("train"), data.split("val")
    assert (len(train), len(val)) == (367, 101)
    assert val.image(0).shape == (360, 480, 3)
    assert set(np.unique(val.label(0))) <= set(range(12))
    samples = val.sample_list()
    require_disjoint(train.sample_list(), samples)
    even, odd = (msgspec.structs.replace(samples, samples=samples.samples[i::2]) for i in (0, 1))
    require_disjoint(even, odd)
