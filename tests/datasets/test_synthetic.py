from __future__ import annotations

import hashlib

import numpy as np
import pytest

from edgeseg.core.samples import require_disjoint
from edgeseg.datasets import open_dataset
from edgeseg.datasets.synthetic import CLASSES, IGNORE_INDEX, SyntheticStreets
from edgeseg.errors import DataError

NAMES = [c.name for c in CLASSES]


@pytest.fixture(scope="module")
def val():
    return open_dataset("synthetic-streets").split("val")


def test_splits_and_sizes(val):
    data = open_dataset("synthetic-streets")
    assert {s: len(data.split(s)) for s in data.splits()} == {
        "train": 480,
        "val": 60,
        "calib": 64,
        "plan": 40,
    }
    assert val.image(0).shape == (240, 320, 3)
    assert val.image(0).dtype == val.label(0).dtype == np.uint8
    assert val.label(0).shape == (240, 320)


def test_the_labels_never_change(val):
    """Shapes come from exact arithmetic and one random stream: the same labels on every machine."""
    digest = hashlib.sha256(b"".join(val.label(i).tobytes() for i in range(4))).hexdigest()
    assert digest == "f2c8ffa2ada3291e9bfa3d8e035ef66d067bc864970fdc92c026b18cd4060547"


def test_a_frame_does_not_depend_on_what_was_made_before(val):
    again = SyntheticStreets(counts={"val": 3}).split("val")
    other = SyntheticStreets(counts={"val": 3}, seed=1).split("val")
    assert np.array_equal(again.image(2), val.image(2))
    assert np.array_equal(again.label(2), val.label(2))
    assert not np.array_equal(other.label(2), val.label(2))


def test_writing_into_a_frame_does_not_change_the_next(val):
    image, label = val.image(5), val.label(5)
    image[:], label[:] = 0, 0
    assert val.image(5).any()
    assert val.label(5).any()


def test_every_class_is_there_often_enough_to_be_scored(val):
    labels = [val.label(i) for i in range(40)]
    share = {name: np.mean([(label == i).any() for label in labels]) for i, name in enumerate(NAMES)}
    assert min(share.values()) >= 0.5, share
    pixels = np.bincount(np.concatenate([label.ravel() for label in labels]), minlength=256)
    assert pixels[: len(NAMES)].min() > 0.005 * pixels.sum()
    assert 0 < pixels[IGNORE_INDEX] < 0.15 * pixels.sum()


def test_frames_differ_in_light(val):
    brightness = [val.image(i).mean() for i in range(40)]
    assert max(brightness) > 2.5 * min(brightness)


def test_instances_lie_on_the_classes_that_are_counted(val):
    data = SyntheticStreets()
    counted = {NAMES.index(n) for n in ("sign", "car", "pedestrian", "cyclist")}
    for i in range(6):
        instances, label = data.instances(val.ids[i]), val.label(i)
        assert instances.dtype == np.uint16
        assert np.array_equal(instances > 0, np.isin(label, list(counted)))
        for number in np.unique(instances[instances > 0]):
            assert len(np.unique(label[instances == number])) == 1


def test_other_sizes():
    split = SyntheticStreets(size=(96, 160), counts={"train": 2}).split("train")
    assert split.image(1).shape == (96, 160, 3)
    with pytest.raises(DataError, match="8x8"):
        SyntheticStreets(size=(8, 8))


def test_splits_share_no_street():
    data = SyntheticStreets(counts={"train": 40, "val": 30, "calib": 20, "plan": 20})
    lists = [data.split(name).sample_list() for name in data.splits()]
    for i, first in enumerate(lists):
        for second in lists[i + 1 :]:
            require_disjoint(first, second)


def test_wrong_requests(tmp_path):
    with pytest.raises(DataError, match="generated"):
        open_dataset("synthetic-streets", tmp_path)
    with pytest.raises(DataError, match="'test'"):
        open_dataset("synthetic-streets").split("test")
