from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from edgeseg.datasets.decode import read_image
from edgeseg.datasets.masks import read_ids
from edgeseg.errors import DataError


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
def test_a_truncated_file(tmp_path, photo, suffix):
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(photo(0)).resize((200, 150)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=rf"x\.{suffix} cannot be read as an image"):
        read_image(path)


def test_a_file_that_is_no_image(tmp_path):
    path = tmp_path / "x.png"
    path.write_text("not an image")
    with pytest.raises(DataError, match=r"x\.png cannot be read"):
        read_image(path)
    with pytest.raises(DataError, match="does not exist"):
        read_image(tmp_path / "y.png")


@pytest.mark.parametrize("side", [12_000, 100_000])
def test_a_decompression_bomb(tmp_path, side):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
    with pytest.raises(DataError, match=r"bomb\.png"):
        read_image(path)


def test_grey_and_transparent_images_become_rgb(tmp_path, photo):
    grey = tmp_path / "grey.png"
    Image.fromarray(photo(0)).convert("L").save(grey)
    clear = tmp_path / "clear.png"
    Image.fromarray(photo(0)).convert("RGBA").save(clear)
    assert read_image(grey).shape == (24, 32, 3)
    assert np.array_equal(read_image(clear), photo(0))


def test_images_deeper_than_8_bits_are_refused(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(path)
    with pytest.raises(DataError, match="8 bits per channel"):
        read_image(path)


def test_masks_of_one_bit(tmp_path):
    path = tmp_path / "m.png"
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).convert("1").save(path)
    assert np.array_equal(read_ids(path), np.eye(8, dtype=np.uint8))
