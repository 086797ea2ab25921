from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeseg.datasets import open_dataset
from edgeseg.datasets.synthetic import SyntheticStreets
from edgeseg.datasets.synthetic_instances import SMALL, StreetThings
from edgeseg.errors import DataError

SIZE = (96, 128)


def test_things_are_those_of_the_streets():
    things, streets = (kind(SIZE).split("val") for kind in (StreetThings, SyntheticStreets))
    names = [info.name for info in things.classes]
    assert names == ["sign", "car", "pedestrian", "cyclist"] and things.task == "instance"
    for index in range(4):
        label, whole = things.label(index), streets.label(index)
        for mask, number, crowd in zip(label.masks, label.labels, label.crowd):
            name = streets.classes[int(whole[mask][0])].name
            assert len(set(whole[mask])) == 1 and name == names[number]
            assert crowd == (mask.sum() < SMALL)
        assert np.array_equal(label.masks.sum(axis=0), np.isin(whole, (6, 7, 8, 9)))
        assert np.array_equal(things.image(index), streets.image(index))


def test_the_layout_has_all_splits_and_no_folder():
    data = open_dataset("synthetic-streets-instances")
    assert data.splits() == ("train", "val", "calib", "plan")
    assert len(data.split("train")) == 480
    with pytest.raises(DataError, match="synthetic-streets-instances was given the folder"):
        open_dataset("synthetic-streets-instances", Path("somewhere"))
