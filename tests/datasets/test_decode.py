from __future__ import annotations

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from edgeseg.datasets import open_dataset
from edgeseg.datasets.decode import read_image
from edgeseg.datasets.images import image_files
from edgeseg.datasets.masks import read_ids
from edgeseg.errors import DataError, EdgesegWarning

TURNED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
TOML = 'schema_version = 1\nencoding = "ids"\n\n[[classes]]\nname = "a"\n\n[[classes]]\nname = "b"\n'


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


@pytest.mark.parametrize(("side", "megapixels"), [(12_000, 144), (13_500, 182), (100_000, 10_000)])
def test_an_image_that_is_too_large_says_how_large(tmp_path, side, megapixels):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
    with pytest.raises(DataError, match=rf"bomb\.png has {megapixels} megapixels(.|\n)*at most 100 mega"):
        read_image(path)


def test_an_image_that_the_memory_does_not_hold_is_not_called_broken(tmp_path, monkeypatch, photo):
    def full(*_):
        raise MemoryError

    Image.fromarray(photo(0)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "convert", full)
    with pytest.raises(DataError, match=r"a\.png is larger than the free memory"):
        read_image(tmp_path / "a.png")


def test_grey_stays_grey_and_transparency_is_left_out(tmp_path, photo):
    gray = Image.fromarray(photo(0)).convert("L")
    for mode, name in (("L", "gray"), ("LA", "clear-gray")):
        gray.convert(mode).save(tmp_path / f"{name}.png")
        assert np.array_equal(read_image(tmp_path / f"{name}.png"), np.asarray(gray)[..., None])
    Image.fromarray(photo(0)).convert("RGBA").save(tmp_path / "clear.png")
    assert np.array_equal(read_image(tmp_path / "clear.png"), photo(0))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_grey_of_16_bits_keeps_them(tmp_path, suffix):
    cv2 = pytest.importorskip("cv2")
    pixels = np.random.default_rng(0).integers(0, 65536, (5, 7), np.uint16)
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), pixels)
    found = read_image(tmp_path / f"a.{suffix}")
    assert found.dtype == np.uint16 and np.array_equal(found, pixels[..., None])


@pytest.mark.parametrize("suffix", ["png", "tif", "ppm"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits_keep_them(tmp_path, suffix, channels):
    if (suffix, channels) == ("ppm", 4):
        channels = 3
    cv2 = pytest.importorskip("cv2")
    pixels = np.random.default_rng(0).integers(0, 65536, (5, 7, channels), np.uint16)
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), pixels)
    found = read_image(tmp_path / f"a.{suffix}")
    assert found.dtype == np.uint16 and np.array_equal(found, pixels[..., 2::-1])


def test_float_images_and_arrays_of_any_channels_are_read(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert np.array_equal(read_image(tmp_path / "a.tif"), values[..., None])
    for array in (values, np.zeros((5, 7, 5), np.uint8), np.ones((5, 7, 4), np.float64)):
        np.save(tmp_path / "b.npy", array)
        found = read_image(tmp_path / "b.npy")
        assert found.shape[:2] == (5, 7) and found.ndim == 3 and found.dtype in (np.uint8, np.float32)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((5, 7), np.int64), "int64"),
        (np.zeros((2, 2, 5, 7), np.uint8), "uint8, uint16 or float32"),
        (np.zeros((0, 7), np.uint8), "uint8, uint16 or float32"),
        (np.zeros((3, 15, 17), np.uint8), "channels first"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, told):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=told):
        read_image(tmp_path / "a.npy")
    (tmp_path / "b.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match=r"b\.npy cannot be read as an array"):
        read_image(tmp_path / "b.npy")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_colours_of_16_bits(tmp_path, orientation):
    cv2 = pytest.importorskip("cv2")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    cv2.imwrite(str(tmp_path / "b.png"), pixels[..., ::-1].astype(np.uint16) * 257)
    plain, deep = (tmp_path / "a.png").read_bytes(), (tmp_path / "b.png").read_bytes()
    start = plain.index(b"eXIf") - 4
    length = int.from_bytes(plain[start : start + 4], "big") + 12
    end = deep.index(b"IDAT") - 4
    (tmp_path / "b.png").write_bytes(deep[:end] + plain[start : start + length] + deep[end:])
    assert np.array_equal(read_image(tmp_path / "b.png"), read_image(tmp_path / "a.png") * np.uint16(257))


def test_other_pages_are_told(tmp_path, photo):
    first, second = (Image.fromarray(photo(seed)) for seed in (0, 1))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    with pytest.warns(EdgesegWarning, match=r"a\.tif holds 2 pages, of which the first is used"):
        assert np.array_equal(read_image(tmp_path / "a.tif"), photo(0))


def test_previews_and_smaller_versions_are_no_pages(tmp_path, photo):
    small = Image.fromarray(photo(0)[::2, ::2])
    small.encoderinfo = {"tiffinfo": {254: 1}}
    Image.fromarray(photo(0)).save(tmp_path / "a.tif", save_all=True, append_images=[small])
    assert np.array_equal(read_image(tmp_path / "a.tif"), photo(0))


def test_a_palette_with_transparency_keeps_its_colours(tmp_path):
    image = Image.frombytes("P", (2, 1), bytes([0, 1]))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    assert read_image(tmp_path / "a.png").tolist() == [[[10, 20, 30], [200, 100, 50]]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_exif_turns_images(tmp_path, orientation, suffix, mode):
    stored = np.zeros((16, 24, 3), np.uint8)
    stored[:8, :8], stored[8:, 16:] = (250, 0, 0), (0, 0, 250)
    picture = Image.fromarray(stored).convert(mode)
    stored = np.asarray(picture.convert("RGB" if suffix == "webp" else mode)).reshape(16, 24, -1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / f"a.{suffix}", exif=exif)
    flips = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
    upright = np.flip(stored.transpose(1, 0, 2) if orientation > 4 else stored, flips.get(orientation, ()))
    found = read_image(tmp_path / f"a.{suffix}").astype(int)
    assert found.shape == upright.shape
    assert np.abs(found - upright).mean() < 15


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


@pytest.mark.parametrize("kind", ["is a named pipe", "is a device"])
def test_what_would_never_end_is_not_read(tmp_path, kind):
    path = tmp_path / "a.png"
    os.mkfifo(path) if kind == "is a named pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(DataError, match=rf"a\.png {kind}"):
        read_image(path)
    with pytest.raises(DataError, match=rf"a\.npy {kind}"):
        read_ids(path.rename(tmp_path / "a.npy"))
