from __future__ import annotations

import numpy as np

from edgeseg.datasets import open_dataset


def test_every_person_is_a_thing(tmp_path, save, photo):
    people = np.zeros((24, 32), np.uint8)
    people[2:9, 3:6], people[5:20, 10:14] = 1, 2
    for place in range(9):
        save(tmp_path / "PNGImages" / f"FudanPed{place:05}.png", photo(place))
        save(tmp_path / "PedMasks" / f"FudanPed{place:05}_mask.png", people)
    data = open_dataset("pennfudan-instances", tmp_path)
    assert [c.name for c in data.classes] == ["person"]
    train, val, whole = map(data.split, data.splits())
    assert train.task == "instance" and len(whole) == 9
    assert val.ids == ("FudanPed00003", "FudanPed00007")
    assert sorted(train.ids + val.ids) == list(whole.ids)
    label = val.label(0)
    assert label.boxes.tolist() == [[3, 2, 6, 9], [10, 5, 14, 20]]
    assert np.array_equal(label.masks, np.stack([people == 1, people == 2]))


def test_the_real_data(real_data):
    data = open_dataset("pennfudan-instances", real_data / "pennfudan")
    train, val, whole = (data.split(name) for name in data.splits())
    assert (len(train), len(val), len(whole)) == (90, 29, 119)
    label = whole.label(3)
    assert label.masks.shape[1:] == whole.image(3).shape[:2]
    assert len(label.labels) == len(np.unique(label.masks.argmax(axis=0)[label.masks.any(axis=0)]))
