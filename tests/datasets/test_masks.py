"""Masks of all kinds: the ids that were stored, or a refusal that names the file."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from edgeseg.datasets import open_dataset
from edgeseg.datasets.masks import read_colors, read_ids
from edgeseg.errors import DataError, EdgesegWarning

IDS = np.arange(32, dtype=np.uint8).reshape(4, 8) % 4


def grey_png(bits: int, ids: np.ndarray) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = ids.shape
    per_byte = 8 // bits
    packed = sum(ids[:, i::per_byte].astype(np.uint8) << (8 - bits * (i + 1)) for i in range(per_byte))
    rows = b"".join(b"\0" + np.uint8(row).tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_one_bit(tmp_path):
    path = tmp_path / "m.png"
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).convert("1").save(path)
    assert np.array_equal(read_ids(path), np.eye(8, dtype=np.uint8))


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits_are_not_stretched(tmp_path, bits):
    (tmp_path / "m.png").write_bytes(grey_png(bits, IDS))
    assert np.array_equal(read_ids(tmp_path / "m.png"), IDS)


@pytest.mark.parametrize("most", [3, 254, 300])
@pytest.mark.parametrize("plain", [False, True])
def test_the_largest_value_of_a_pgm_is_no_scale(tmp_path, most, plain):
    kind = b">u2" if most > 255 else b"u1"
    body = " ".join(map(str, IDS.ravel())).encode() if plain else IDS.astype(kind.decode()).tobytes()
    (tmp_path / "m.pgm").write_bytes((b"P2" if plain else b"P5") + b" 8 4 %d\n" % most + body + b"\n")
    assert np.array_equal(read_ids(tmp_path / "m.pgm"), IDS)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_wide_tiffs(tmp_path, dtype):
    Image.fromarray(IDS.astype(dtype)).save(tmp_path / "m.tif")
    assert np.array_equal(read_ids(tmp_path / "m.tif"), IDS)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64, np.bool_])
def test_arrays(tmp_path, dtype):
    np.save(tmp_path / "m.npy", IDS.astype(dtype))
    assert np.array_equal(read_ids(tmp_path / "m.npy"), IDS > 0 if dtype == np.bool_ else IDS)


@pytest.mark.parametrize("mode", ["RGB", "LA", "RGBA"])
def test_equal_channels_count_as_one(tmp_path, mode):
    Image.fromarray(IDS).convert(mode).save(tmp_path / "m.png")
    assert np.array_equal(read_ids(tmp_path / "m.png"), IDS)


@pytest.mark.parametrize("value", [0.5, np.nan, -1.0, 256.0])
def test_values_that_are_no_ids_are_named_with_their_place(tmp_path, value):
    values = IDS.astype(np.float32)
    values[2, 5] = value
    Image.fromarray(values).save(tmp_path / "m.tif")
    np.save(tmp_path / "m.npy", values)
    for name in ("m.tif", "m.npy"):
        with pytest.raises(DataError, match=rf"{name} holds the value {value} at row 2, column 5"):
            read_ids(tmp_path / name)


def write(path, kind):
    if kind == "half transparent":
        Image.merge("LA", (Image.fromarray(IDS), Image.fromarray(IDS))).save(path)
    elif kind == "inverted":
        Image.fromarray(IDS).save(path, tiffinfo={262: 0})
    elif kind == "two pages":
        Image.fromarray(IDS).save(path, save_all=True, append_images=[Image.fromarray(IDS)])
    elif kind == "deep colours":
        cv2 = pytest.importorskip("cv2")
        cv2.imwrite(str(path), np.repeat(IDS[..., None], 3, axis=2).astype(np.uint16))
    elif kind == "array of objects":
        np.save(path, np.array([[None]]), allow_pickle=True)
    elif kind == "array of channels":
        np.save(path, IDS[None])


@pytest.mark.parametrize(
    ("kind", "suffix", "why"),
    [
        ("half transparent", "png", "mode LA"),
        ("inverted", "tif", "white is zero"),
        ("two pages", "tif", "2 pages"),
        ("deep colours", "png", "more than 8 bits per channel"),
        ("array of objects", "npy", "cannot be read as an array"),
        ("array of channels", "npy", r"uint8 \[1, 4, 8\]"),
    ],
)
def test_what_is_ambiguous_is_refused_by_name(tmp_path, kind, suffix, why):
    path = tmp_path / f"m.{suffix}"
    write(path, kind)
    with pytest.raises(DataError, match=rf"m\.{suffix} .*{why}"):
        read_ids(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_exif_never_turns_masks(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(IDS).save(tmp_path / f"m.{suffix}", exif=exif)
    assert np.array_equal(read_ids(tmp_path / f"m.{suffix}"), IDS)
    assert np.array_equal(read_colors(tmp_path / f"m.{suffix}")[..., 0], IDS)


def palette_mask(path, ids, order, colors):
    """Show `ids` in `colors`, the entries of the palette sorted as `order`."""
    indices = np.argsort(order).astype(np.uint8)[ids]
    image = Image.frombytes("P", ids.shape[::-1], indices.tobytes())
    image.putpalette([v for i in order for v in colors[i]])
    image.save(path)
    return indices


@pytest.mark.parametrize("colors", [[(i,) * 3 for i in range(3)], [(10, 20, 30), (200, 0, 0), (0, 0, 250)]])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_a_palette_that_a_tool_sorted_is_told(flat, recwarn, colors, order):
    ids = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32) % 3
    indices = palette_mask(flat / "masks" / "a.png", ids, order, colors)
    assert np.array_equal(open_dataset("folders", flat).split("all").label(0), indices)
    told = [str(w.message) for w in recwarn if w.category is EdgesegWarning]
    assert len(told) == (order != [0, 1, 2])
    assert all("a.png has a palette that shows its indices in the colours of other ids" in t for t in told)


@pytest.mark.parametrize("white_first", [False, True])
def test_a_binary_palette_that_begins_with_white_is_told(flat, recwarn, white_first):
    (flat / "dataset.toml").write_text(
        'schema_version = 1\nencoding = "binary"\nclasses = [{name = "background"}, {name = "thing"}]\n'
    )
    ids = np.eye(32, dtype=np.uint8)[:24]
    order = [1, 0] if white_first else [0, 1]
    indices = palette_mask(flat / "masks" / "a.png", ids, order, [(0, 0, 0), (255, 255, 255)])
    assert np.array_equal(open_dataset("folders", flat).split("all").label(0), indices)
    assert len(recwarn) == white_first


@pytest.mark.parametrize("header", ["[" * 110, "{'descr': '|u1'}", "1 +", "{'shape': (-1, 2)}", "\\\\"])
def test_an_array_whose_header_makes_no_sense(tmp_path, header):
    raw = header.ljust(117).encode() + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little") + raw)
    with pytest.raises(DataError, match=r"a\.npy cannot be read as an array"):
        read_ids(tmp_path / "a.npy")
