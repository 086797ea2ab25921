"""What an image shows, as hashes of its decoded pixels.

Why 512 bits and a tolerance of 20 (`core/samples.py`): bits that differ between two images, for the
usual 64-bit difference hash (rows only, 8x8, no margin) and for this one.

| pair of images                                     | 64 bits | 512 bits  |
|----------------------------------------------------|---------|-----------|
| CamVid train / val, closest two                    | 9       | 151       |
| CamVid val, closest two (a second apart, standing) | 0       | 22        |
| CamVid train, closest two                          | 0       | 13, 23    |
| Penn-Fudan, closest two of all                     | 11      | 171       |
| synthetic-streets, closest two of all splits       | 9       | 126       |
| 60 CamVid val frames and themselves, median (most):|         |           |
|   JPEG quality 75                                  | 0 (2)   | 2 (5)     |
|   JPEG quality 30                                  | 1 (3)   | 6 (12)    |
|   brightness x1.1                                  | 1 (3)   | 5 (11)    |
|   brightness x0.85                                 | 1 (3)   | 0 (3)     |
|   gamma 0.8                                        | 1 (4)   | 11.5 (19) |
|   half the size                                    | 1 (4)   | 9.5 (16)  |
|   1.5 times the size                               | 0 (3)   | 5 (9)     |
| the same of synthetic-streets, most, quality 30    | 4       | 26        |

With 64 bits no tolerance tells two frames of a standing camera from one frame saved twice; with 512 bits
20 does (the CamVid training frames at 13 show the same view twice). A picture without any structure has
the hash 0, whatever its colour.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

GRID = 16
MARGIN = 0.06
"""Smaller steps, in standard deviations of the grid, count as none: noise in a plain sky flips no bits."""


def pixel_sha256(pixels: NDArray[Any]) -> str:
    """sha256 of the shape, the dtype where it is not uint8, and the decoded pixels, as hex digits."""
    kind = "" if pixels.dtype == np.uint8 else str(pixels.dtype)
    digest = hashlib.sha256(f"{pixels.shape!r}{kind}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


class Fingerprint:
    """sha256 over what samples hold, in their order: ids, decoded pixels, and labels where there are any.

    Args:
        meaning: what the values of the labels stand for.
    """

    def __init__(self, meaning: str = "") -> None:
        self._digest = hashlib.sha256(meaning.encode())

    def add(self, identity: str, image_sha256: str, label: bytes = b"") -> None:
        """
        Args:
            label: all that it says; empty: there is none.
        """
        parts = [identity, image_sha256, hashlib.sha256(label).hexdigest() if label else ""]
        self._digest.update(("\0".join(parts) + "\n").encode())

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def difference_hash(pixels: NDArray[Any]) -> str:
    """Difference hash of an image [H,W,C], 128 hex digits.

    The image becomes 17x17 mean grey values; one bit says whether a value is larger than its right
    neighbour, another whether it is larger than the one below, by more than MARGIN
    (after Krawetz, "Kind of Like That", 2013).
    """
    from PIL import Image

    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        grey = Image.fromarray(pixels).convert("L").convert("F")
    else:
        grey = Image.fromarray(pixels.mean(axis=2, dtype=np.float32))
    mean = np.asarray(grey.resize((GRID + 1, GRID + 1), Image.Resampling.BOX))
    step = MARGIN * mean.std()
    corner = mean[:-1, :-1]
    bits = np.concatenate([(corner - mean[:-1, 1:] > step).ravel(), (corner - mean[1:, :-1] > step).ravel()])
    return np.packbits(bits).tobytes().hex()
