"""Images and masks that cannot be used."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from fuzzing.case import ANY, Bad, content, cut, flipped, void


def encoded(array: np.ndarray, kind: str = "PNG", mode: str | None = None) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array, mode).save(stream, kind)
    return stream.getvalue()


def png(width: int, height: int, *, depth: int = 8, color: int = 2, data: bytes = b"") -> bytes:
    """A PNG whose header may say anything."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def npy(header: str, body: bytes = b"") -> bytes:
    raw = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + body


RGB = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
GREY = RGB[..., 0]
IDS = (GREY > 127).astype(np.uint8)
_ARRAY = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}"

_BMP = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, -9, 9, 1, 24, 0, 0, 0, 0, 0, 0)
_BOTH: dict[str, Bad] = {
    **ANY,
    "cut": cut(encoded(RGB)),
    "cut JPEG": cut(encoded(RGB, "JPEG")),
    "flipped": flipped(encoded(RGB), 40),
    "flipped TIFF": flipped(encoded(RGB, "TIFF"), 60),
    "flipped WebP": flipped(encoded(RGB, "WEBP"), 40),
    "a bomb": content(png(60_000, 60_000, data=bytes(1000))),
    "the largest sides": content(png(2**31 - 1, 2**31 - 1)),
    "no pixel": content(png(0, 0)),
    "a header alone": content(encoded(RGB)[:33]),
    "an unknown colour type": content(png(8, 8, color=5)),
    "text as a header": content(b"P6 99999999999 1 255\n"),
    "a header of words": content(b"P6 a b c\n"),
    "a GIF of one byte": content(b"GIF89a\x01"),
    "a video": content(b"\0\0\0\x18ftypmp42" + bytes(500)),
    "an archive": content(b"PK\x03\x04" + bytes(500)),
    "a BMP of a negative width": content(_BMP),
}  # fmt: skip
IMAGES: dict[str, Bad] = {
    **_BOTH,
    "16 bits": content(encoded(GREY.astype(np.uint16) * 257)),
    "floats": content(encoded(GREY.astype(np.float32), "TIFF")),
    "integers of 32 bits": content(encoded(GREY.astype(np.int32), "TIFF")),
    "one pixel": content(encoded(RGB[:1, :1])),
}
MASKS: dict[str, Bad] = {
    **_BOTH,
    "another size": content(encoded(IDS[:32])),
    "unknown ids": content(encoded(IDS + 7)),
    "colours": content(encoded(RGB)),
    "large ids": content(encoded(GREY.astype(np.uint16) * 257)),
    "negative ids": content(encoded(IDS.astype(np.int32) - 9, "TIFF")),
    "ids that are no numbers": content(encoded(np.full((64, 64), np.nan, np.float32), "TIFF")),
    "part of an id": content(encoded(IDS.astype(np.float32) + 0.5, "TIFF")),
}


def _arrays() -> dict[str, Bad]:
    def saved(array: np.ndarray) -> Bad:
        return lambda path, _: void(np.save(path, array, allow_pickle=True))

    return {
        "cut": cut(npy(_ARRAY.format("|u1", "(64, 64)"), IDS.tobytes())),
        "an absurd shape": content(npy(_ARRAY.format("|u1", f"({10**9}, {10**9})"))),
        "a negative shape": content(npy(_ARRAY.format("|u1", "(-1, 64)"))),
        "brackets": content(npy("[" * 110)),
        "code": content(npy("__import__('os').system('true')")),
        "objects": saved(np.array([{}, []], object)),
        "text": saved(np.array([["a", "b"]])),
        "complex": saved(np.ones((64, 64), np.complex64)),
        "three axes": saved(RGB),
        "no axis": saved(np.array(3)),
        "no number": saved(np.full((64, 64), np.inf)),
        "records": saved(np.zeros((64, 64), [("a", "u1"), ("b", "f4")])),
    }


MASK_ARRAYS = _arrays()


def path_of(folder: Path, name: str, random: Random) -> Path:
    """Where a bad picture of this kind goes: its ending may lie."""
    ending = ".tif" if "TIFF" in name else random.choice((".png", ".png", ".bmp"))
    return folder / f"bad{ending}"
