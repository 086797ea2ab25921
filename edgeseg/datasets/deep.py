"""Images that Pillow cannot hold: colours of 16 bits, arrays of any number of channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeseg.core.files import require_file
from edgeseg.core.syntax import ONE_TREE
from edgeseg.datasets.split import Pixels
from edgeseg.errors import DataError, MissingDependency

ARRAY = ".npy"
MOST_VALUES = 400_000_000
_KINDS = "uint8, uint16 or float32 [H,W] or [H,W,C]"


def read_array(path: Path) -> Pixels:
    """A `.npy` as [H,W,C]; float16 and float64 as float32.

    Raises:
        DataError: missing, broken, huge, or another dtype or shape.
    """
    require_file(path, expected="an image file", error=DataError)
    try:
        with ONE_TREE:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as fault:
        told = f"{path} cannot be read as an array: {fault}"
        raise DataError(told, expected=f"a .npy of {_KINDS}") from None
    if not isinstance(found, np.ndarray) or found.ndim not in (2, 3) or not found.size:
        shape = list(found.shape) if isinstance(found, np.ndarray) else "several arrays"
        raise DataError(f"{path} holds {shape}", expected=_KINDS)
    if found.size > MOST_VALUES:
        told = f"{path} holds {found.size / 1e6:.0f} million values"
        raise DataError(told, expected=f"at most {MOST_VALUES // 10**6} million")
    if found.dtype.kind == "f":
        found = found.astype(np.float32)
    if found.dtype not in (np.uint8, np.uint16, np.float32):
        raise DataError(f"{path} holds {found.dtype} {list(found.shape)}", expected=_KINDS)
    whole = found if found.ndim == 3 else found[..., None]
    if whole.shape[0] <= 4 < min(whole.shape[1:]):
        raise DataError(
            f"{path} holds {list(whole.shape)}: channels first",
            expected="[H,W,C]",
            hint="save it with array.transpose(1, 2, 0)",
        )
    return np.array(whole)


def read_deep(path: Path, orientation: int) -> Pixels:
    """Colours of 16 bits, uint16 [H,W,3] RGB, by OpenCV.

    Args:
        orientation: of EXIF, 1 to 8.

    Raises:
        DataError: it cannot be decoded.
        MissingDependency: no OpenCV.
    """
    try:
        import cv2
    except ImportError:
        raise MissingDependency(
            "opencv-python-headless", "video", needed_for=f"the 16 bits per channel of {path.name}"
        ) from None
    found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16 or found.ndim != 3:
        raise DataError(
            f"{path} has more than 8 bits per channel and cannot be decoded",
            expected="RGB of 16 bits as PNG, TIFF or PPM",
            hint="save it as PNG, or as a .npy of uint16 [H,W,3]",
        )
    return _turned(np.ascontiguousarray(found[..., 2::-1]), orientation)


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """Upright, as `PIL.ImageOps.exif_transpose` does it."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
