"""Labels of classes that overlap: a mask per class, bit planes, polygons."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from edgeseg.datasets import open_dataset
from edgeseg.errors import DataError
from edgeseg.runtime.tasks.multilabel import mask_of, packed

NAMES = [f"organ{i}" for i in range(10)]
SIZE = (12, 16)


def toml(encoding, names=NAMES, ignore=None):
    entries = "\n".join(f'[[classes]]\nname = "{name}"' for name in names)
    ignored = "" if ignore is None else f"ignore_index = {ignore}\n"
    return f'schema_version = 1\nencoding = "{encoding}"\n{ignored}{entries}\n'


def masks(count=10, seed=0):
    return np.random.default_rng(seed).random((*SIZE, count)) < 0.3


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two images without labels."""
    for name in "ab":
        save(tmp_path / "images" / f"{name}.png", np.zeros((*SIZE, 3), np.uint8))
    return tmp_path


def label(folder, index=0):
    return open_dataset("folders", folder).split("all").label(index)


@pytest.mark.parametrize("place", ["{name}/{image}.png", "{image}_{name}.png"])
def test_a_mask_per_class(folder, place):
    (folder / "dataset.toml").write_text(toml("masks"))
    truth = masks()
    for image in "ab":
        for index, name in enumerate(NAMES):
            if image == "b" and index != 3:
                continue  # what has no file is not there
            path = folder / "masks" / place.format(name=name, image=image)
            save(path, (truth[..., index] * np.uint8(255 if index % 2 else 1)))
    data = open_dataset("folders", folder)
    split = data.split("all")
    assert split.task == "multilabel" and len(data.classes) == 10
    assert np.array_equal(split.label(0), packed(truth))
    only = np.zeros_like(truth)
    only[..., 3] = truth[..., 3]
    assert np.array_equal(split.label(1), packed(only))


def test_a_mask_of_no_class_and_an_image_without_masks_are_refused(folder):
    (folder / "dataset.toml").write_text(toml("masks"))
    save(folder / "masks" / "a_organ1.png", np.zeros(SIZE, np.uint8))
    with pytest.raises(DataError, match="1 of 2 images have no mask"):
        label(folder)
    save(folder / "masks" / "b_liver.png", np.zeros(SIZE, np.uint8))
    with pytest.raises(DataError, match=r"b_liver\.png is the mask of no class\nexpected: .*organ0"):
        label(folder)


def test_grey_pixels_and_masks_of_other_sizes_are_refused(folder):
    (folder / "dataset.toml").write_text(toml("masks"))
    for name in "ab":
        save(folder / "masks" / f"{name}_organ1.png", np.full(SIZE, 100, np.uint8))
    with pytest.raises(DataError, match="holds the value 100"):
        label(folder)
    save(folder / "masks" / "a_organ1.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"4x4 pixels, .*12x16"):
        label(folder)


@pytest.mark.parametrize("count", [5, 10])
def test_bit_planes_of_8_and_16_bits(folder, count):
    (folder / "dataset.toml").write_text(toml("bits", NAMES[:count]))
    truth = masks(count)
    values = (truth * (1 << np.arange(count))).sum(axis=-1)
    for name in "ab":
        save(folder / "masks" / f"{name}.png", values.astype(np.uint8 if count <= 8 else np.uint16))
    assert np.array_equal(label(folder), packed(truth))
    save(folder / "masks" / "a.png", np.full(SIZE, 1 << count, np.uint16))
    with pytest.raises(DataError, match=rf"sets the bit {count} at row 0"):
        label(folder)


def test_bit_planes_of_any_number_in_npy(folder):
    names = [f"c{i}" for i in range(29)]
    (folder / "dataset.toml").write_text(toml("bits", names))
    truth = masks(29)
    (folder / "masks").mkdir()
    for name in "ab":
        np.save(folder / "masks" / f"{name}.npy", packed(truth))
    assert np.array_equal(label(folder), packed(truth))


def labelme(path, *shapes, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    about = [{"label": n, "points": p, "shape_type": k, "flags": {}} for n, k, p in shapes]
    document = {"version": "5.4", "shapes": about, "imageHeight": size[0], "imageWidth": size[1]}
    path.write_text(json.dumps({**document, "imageData": None}))


def test_polygons_overlap(folder):
    (folder / "dataset.toml").write_text(toml("polygons"))
    square = [[2, 3], [6, 3], [6, 8], [2, 8]]
    for name in "ab":
        labelme(
            folder / "labels" / f"{name}.json",
            ("organ0", "polygon", square),
            ("organ9", "rectangle", [[8, 9], [4, 6]]),
            ("organ9", "polygon", [[0, 0], [1, 0], [0, 1]]),
        )
    found = label(folder)
    first, last = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    first[3:9, 2:7] = True
    last[6:10, 4:9] = True
    last[0, :2] = last[1, 0] = True
    assert np.array_equal(mask_of(found, 0), first)
    assert np.array_equal(mask_of(found, 9), last)
    assert not mask_of(found, 5).any()


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (("liver", "polygon", [[0, 0], [1, 0], [0, 1]]), "a shape of the class 'liver'"),
        (("organ0", "line", [[0, 0], [1, 0]]), "a line of 2 points"),
        (("organ0", "polygon", [[0, 0], [1, 0]]), "a polygon of 2 points"),
        (("organ0", "polygon", [[0, 0], [1e300, 0], [0, 1]]), "a polygon of 3 points"),
    ],
)
def test_shapes_that_mean_nothing_are_refused(folder, shape, said):
    (folder / "dataset.toml").write_text(toml("polygons"))
    for name in "ab":
        labelme(folder / "labels" / f"{name}.json", shape)
    with pytest.raises(DataError, match=said):
        label(folder)
    (folder / "labels" / "a.json").write_text("{")
    with pytest.raises(DataError, match=r"a\.json cannot be read"):
        label(folder)


def test_what_is_ignored_has_a_bit_behind_the_classes(folder):
    (folder / "dataset.toml").write_text(toml("polygons", NAMES[:8], ignore=8))
    for name in "ab":
        labelme(folder / "labels" / f"{name}.json", ("ignore", "rectangle", [[0, 0], [3, 2]]))
    found = label(folder)
    assert found.shape == (*SIZE, 2) and not found[..., 0].any()
    assert mask_of(found, 8)[:3, :4].all() and mask_of(found, 8).sum() == 12
    (folder / "dataset.toml").write_text(toml("polygons", NAMES[:8], ignore=9))
    with pytest.raises(DataError, match="ignore_index is 9\nexpected: a label value, 0-8"):
        label(folder)


def test_ids_beyond_a_byte(folder):
    (folder / "dataset.toml").write_text(toml("ids", [f"c{i}" for i in range(300)], ignore=300))
    ids = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) + 109
    for name in "ab":
        save(folder / "masks" / f"{name}.png", ids.astype(np.uint16))
    found = label(folder)
    assert found.dtype == np.int32 and np.array_equal(found, ids)
    save(folder / "masks" / "a.png", np.full(SIZE, 301, np.uint16))
    with pytest.raises(DataError, match=r"holds the value 301"):
        label(folder)
