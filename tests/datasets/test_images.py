"""Which images are found, in which order, and what happens to files that are none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgeseg.datasets import open_dataset
from edgeseg.datasets.decode import read_image
from edgeseg.datasets.images import image_files
from edgeseg.errors import DataError


def save(path, value=0):
    Image.fromarray(np.full((4, 6, 3), value, np.uint8)).save(path)


def test_a_folder_is_read_flat_and_in_natural_order(tmp_path):
    for name in ("frame10.png", "frame2.png", "Frame1.PNG"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._frame2.png").write_bytes(b"notes of macOS")
    (tmp_path / "inner").mkdir()
    save(tmp_path / "inner" / "frame3.png")
    assert image_files(tmp_path).ids == ("Frame1.PNG", "frame2.png", "frame10.png")
    assert image_files(tmp_path, limit=1).ids == ("Frame1.PNG",)


def test_one_image_is_a_list_of_one(tmp_path):
    save(tmp_path / "one.png", 7)
    files = image_files(tmp_path / "one.png")
    assert len(files) == 1
    assert files.image(0).shape == (4, 6, 3) and (files.image(0) == 7).all()


def test_grey_images_stay_grey_and_exif_turns_are_followed(tmp_path):
    Image.fromarray(np.full((4, 6), 9, np.uint8)).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").shape == (4, 6, 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (6, 4, 3)


@pytest.mark.parametrize("content", [b"", b"this is text", b"\x89PNG\r\n\x1a\n"])
def test_an_unreadable_image_is_named(tmp_path, content):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.png cannot be read as an image"):
        read_image(tmp_path / "broken.png")


def test_a_truncated_image_is_refused(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"cut\.png"):
        read_image(path)


def test_missing_and_empty_sources_are_data_errors(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        image_files(tmp_path / "nowhere")
    with pytest.raises(DataError, match="limit of -1"):
        image_files(tmp_path, limit=-1)
    with pytest.raises(DataError, match="holds no images"):
        image_files(tmp_path)


def test_integers_of_more_than_16_bits_are_refused(tmp_path):
    Image.fromarray(np.full((4, 6), 70_000, np.int32)).save(tmp_path / "deep.tif")
    with pytest.raises(DataError, match=r"deep\.tif holds values from 70000 to 70000"):
        read_image(tmp_path / "deep.tif")


def test_a_folder_is_a_dataset_without_labels(tmp_path):
    for value in (1, 2, 3):
        save(tmp_path / f"{value}.png", value)
    dataset = open_dataset("images", tmp_path)
    assert (dataset.name, dataset.classes, dataset.splits()) == (tmp_path.name, (), ("images",))
    split = dataset.split("images")
    assert split.ids == ("1.png", "2.png", "3.png") and (split.image(2) == 3).all()
    assert split.fingerprint() != split.limit(2).fingerprint()
    with pytest.raises(DataError, match=r"'1\.png' has no label"):
        split.label(0)
