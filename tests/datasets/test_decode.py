from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from edgeseg.datasets import open_dataset
from edgeseg.datasets.decode import read_image
from edgeseg.datasets.images import image_files
from edgeseg.errors import EdgesegWarning

TURNED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
TOML = 'schema_version = 1\nencoding = "ids"\n\n[[classes]]\nname = "a"\n\n[[classes]]\nname = "b"\n'


@pytest.mark.parametrize("orientation", TURNED)
def test_every_reader_follows_exif_and_masks_are_as_stored(tmp_path, photo, orientation):
    pixels = photo(0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    turned = Image.fromarray(pixels).transpose(TURNED[orientation])
    turned.save(tmp_path / "images" / "x.png", exif=exif)
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[:5] = 1
    Image.fromarray(mask).save(tmp_path / "masks" / "x.png", exif=exif)
    (tmp_path / "dataset.toml").write_text(TOML)

    labelled = open_dataset("folders", tmp_path).split("all")
    unlabelled = open_dataset("images", tmp_path / "images")
    files = image_files(tmp_path / "images")
    for found in (
        read_image(tmp_path / "images" / "x.png"),
        labelled.image(0),
        unlabelled.split(unlabelled.splits()[0]).image(0),
        files.image(0),
    ):
        np.testing.assert_array_equal(found, pixels)
    np.testing.assert_array_equal(labelled.label(0), mask)


def test_a_colour_image_of_16_bits_is_told(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + np.full((4, 3), 0x1234, ">u2").tobytes()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(row * 4)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
    with pytest.warns(EdgesegWarning, match=r"deep\.png holds more than 8 bits"):
        assert (read_image(tmp_path / "deep.png") == 0x12).all()


def test_notes_that_macos_leaves_are_no_images(tmp_path, photo):
    Image.fromarray(photo(0)).save(tmp_path / "a.png")
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7" + b"\0" * 200)
    assert [path.name for path in image_files(tmp_path).paths] == ["a.png"]
