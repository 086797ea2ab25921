from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from edgeseg.datasets import open_dataset
from edgeseg.errors import DataError


def test_flat_folders_are_one_split(flat, photo, mask):
    data = open_dataset("folders", flat)
    assert data.splits() == ("all",)
    split = data.split("all")
    assert (split.dataset, split.name, split.ids, len(split)) == ("folders", "all", ("a", "b"), 2)
    assert np.array_equal(split.image(1), photo(1))
    assert np.array_equal(split.label(0), mask)
    assert [c.name for c in data.classes] == ["ground", "wall", "cat"]
    assert data.ignore_index == 255


@pytest.mark.parametrize(
    ("images", "masks"),
    [("images/{}", "masks/{}"), ("images/{}", "labels/{}"), ("{}", "{}annot"), ("{}", "{}_masks")],
)
def test_one_folder_per_split(tmp_path, save, photo, mask, toml, images, masks):
    for seed, name in enumerate(("train", "val")):
        save(tmp_path / images.format(name) / "x.jpg", photo(seed))
        save(tmp_path / masks.format(name) / "x_mask.png", mask)
    (tmp_path / "dataset.toml").write_text(toml())
    data = open_dataset("folders", tmp_path)
    assert data.splits() == ("train", "val")
    assert np.array_equal(data.split("val").label(0), mask)
    with pytest.raises(DataError, match="'test'") as error:
        data.split("test")
    assert "train, val" in str(error.value)


def test_masks_of_16_bits(flat, save, mask):
    save(flat / "masks" / "a.png", mask.astype(np.uint16))
    assert np.array_equal(open_dataset("folders", flat).split("all").label(0), mask)
    save(flat / "masks" / "a.png", np.full((24, 32), 1000, np.uint16))
    with pytest.raises(DataError, match=r"a\.png holds the value 1000"):
        open_dataset("folders", flat).split("all").label(0)


def test_palette_masks_are_read_as_indices(flat, mask):
    image = Image.fromarray(mask).convert("L")
    image.putpalette([v for i in range(256) for v in (i, 255 - i, 7)])
    image.save(flat / "masks" / "a.png")
    assert np.array_equal(open_dataset("folders", flat).split("all").label(0), mask)


@pytest.mark.parametrize("palette", [False, True])
def test_color_masks(flat, mask, toml, palette):
    (flat / "dataset.toml").write_text(
        toml("colors", "ignore_index = 255\nignore_colors = [[0, 0, 0], [9, 9, 9]]")
    )
    table = np.zeros((256, 3), np.uint8)
    table[:3] = (10, 20, 30), (200, 0, 0), (0, 0, 250)
    image = Image.fromarray(table[mask])
    (image.quantize(8) if palette else image).save(flat / "masks" / "a.png")
    assert np.array_equal(open_dataset("folders", flat).split("all").label(0), mask)


def test_a_foreign_color_is_named_with_its_place(flat, toml):
    (flat / "dataset.toml").write_text(toml("colors"))
    pixels = np.full((24, 32, 3), (200, 0, 0), np.uint8)
    pixels[3, 5] = 1, 2, 3
    Image.fromarray(pixels).save(flat / "masks" / "a.png")
    with pytest.raises(DataError, match=r"a\.png holds the color \[1, 2, 3\] at row 3, column 5"):
        open_dataset("folders", flat).split("all").label(0)


BINARY = 'schema_version = 1\nencoding = "binary"\nclasses = [{name = "background"}, {name = "thing"}]\n'


@pytest.mark.parametrize("foreground", [1, 255])
def test_binary_masks(flat, save, foreground):
    (flat / "dataset.toml").write_text(BINARY)
    thing = np.zeros((24, 32), np.uint8)
    thing[4:9, 6:20] = foreground
    save(flat / "masks" / "a.png", thing)
    assert np.array_equal(open_dataset("folders", flat).split("all").label(0), thing // foreground)


def test_a_smoothed_binary_mask_is_refused(flat, save):
    (flat / "dataset.toml").write_text(BINARY)
    thing = np.zeros((24, 32), np.uint8)
    thing[2, 7] = 131
    save(flat / "masks" / "a.png", thing)
    with pytest.raises(DataError, match="value 131 at row 2, column 7"):
        open_dataset("folders", flat).split("all").label(0)


def test_an_id_outside_the_classes_names_file_value_and_place(flat, save, mask):
    mask[7, 9] = 3
    save(flat / "masks" / "b.png", mask)
    split = open_dataset("folders", flat).split("all")
    with pytest.raises(DataError, match=r"b\.png: the label holds the value 3 at row 7, column 9") as error:
        split.label(1)
    assert "0-2" in str(error.value)
    assert "to fix" in str(error.value)


def test_a_mask_of_another_size(flat, save, mask):
    save(flat / "masks" / "a.png", mask[:-2])
    with pytest.raises(DataError, match=r"a\.png has 22x32 pixels, its image .*a\.png has 24x32"):
        open_dataset("folders", flat).split("all").label(0)


def test_a_mask_with_colors_but_ids_expected(flat, save, photo):
    save(flat / "masks" / "a.png", photo(0))
    with pytest.raises(DataError, match='encoding = "colors"'):
        open_dataset("folders", flat).split("all").label(0)


def test_a_missing_mask(flat):
    (flat / "masks" / "b.png").unlink()
    with pytest.raises(DataError, match=r"1 of 2 images have no mask: .*b\.png"):
        open_dataset("folders", flat).split("all")


def test_masks_saved_with_loss_do_not_count(flat):
    (flat / "masks" / "b.png").rename(flat / "masks" / "b.jpg")
    with pytest.raises(DataError, match="no mask"):
        open_dataset("folders", flat).split("all")


def test_two_files_of_one_name(flat, save, photo):
    save(flat / "images" / "a.jpg", photo(5))
    with pytest.raises(DataError, match="same name"):
        open_dataset("folders", flat).split("all")


def test_an_empty_folder(flat):
    shutil.rmtree(flat / "images")
    (flat / "images").mkdir()
    with pytest.raises(DataError, match=r"images has no image"):
        open_dataset("folders", flat).split("all")


def test_no_dataset_toml_shows_what_to_write(flat):
    (flat / "dataset.toml").unlink()
    with pytest.raises(DataError, match=r"dataset\.toml does not exist") as error:
        open_dataset("folders", flat)
    assert "[[classes]]" in str(error.value)


def test_a_folder_without_masks(flat):
    shutil.rmtree(flat / "masks")
    with pytest.raises(DataError, match="no images and masks in this layout"):
        open_dataset("folders", flat)


def test_hidden_files_and_folders_are_no_data(flat):
    for folder in ("images", "masks"):
        (flat / folder / ".ipynb_checkpoints").mkdir()
        (flat / folder / "._a.png").write_bytes(b"notes of macOS")
    data = open_dataset("folders", flat)
    assert data.splits() == ("all",) and data.split("all").ids == ("a", "b")
