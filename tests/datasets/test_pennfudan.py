from __future__ import annotations

import numpy as np

from edgeseg.datasets import open_dataset


def test_every_person_is_foreground(tmp_path, save, photo):
    save(tmp_path / "PNGImages" / "FudanPed00001.jpg", photo(0))
    people = np.zeros((24, 32), np.uint8)
    people[2:9, 3:6], people[5:20, 10:14] = 1, 2
    save(tmp_path / "PedMasks" / "FudanPed00001_mask.png", people)
    data = open_dataset("pennfudan", tmp_path)
    split = data.split("all")
    assert split.ids == ("FudanPed00001",)
    assert np.array_equal(split.label(0), people > 0)
    assert [c.name for c in data.classes] == ["background", "person"]


def test_the_real_data(real_data):
    split = open_dataset("pennfudan", real_data / "pennfudan").split("all")
    assert len(split) == 119
    assert split.label(3).shape == split.image(3).shape[:2]
    assert set(np.unique(split.label(3))) == {0, 1}
