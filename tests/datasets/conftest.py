from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOML = """schema_version = 1
encoding = "{encoding}"
{extra}
[[classes]]
name = "ground"
color = [10, 20, 30]

[[classes]]
name = "wall"
color = [200, 0, 0]

[[classes]]
name = "cat"
color = [0, 0, 250]
"""


@pytest.fixture
def save() -> Callable[..., Path]:
    """Write pixels as an image file, making its folder."""

    def write(path: Path, pixels: np.ndarray) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def photo() -> Callable[[int], np.ndarray]:
    """A picture with structure, uint8 [24,32,3], another one for each seed."""

    def make(seed: int) -> np.ndarray:
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
        return coarse.repeat(4, 0).repeat(4, 1)

    return make


@pytest.fixture
def toml() -> Callable[..., str]:
    def make(encoding: str = "ids", extra: str = "ignore_index = 255") -> str:
        return TOML.format(encoding=encoding, extra=extra)

    return make


@pytest.fixture
def mask() -> np.ndarray:
    """Ids 0-2 and one ignored pixel, uint8 [24,32]."""
    ids = (np.arange(24 * 32) % 3).astype(np.uint8).reshape(24, 32)
    ids[0, 0] = 255
    return ids


@pytest.fixture
def flat(
    tmp_path: Path, save: Callable[..., Path], photo: Callable[[int], np.ndarray], mask: np.ndarray,
    toml: Callable[..., str],
) -> Path:  # fmt: skip
    """images/{a,b}.png with masks/{a,b}.png and dataset.toml."""
    for seed, stem in enumerate("ab"):
        save(tmp_path / "images" / f"{stem}.png", photo(seed))
        save(tmp_path / "masks" / f"{stem}.png", mask)
    (tmp_path / "dataset.toml").write_text(toml())
    return tmp_path


@pytest.fixture
def real_data() -> Path:
    folder = os.environ.get("EDGESEG_DATA")
    if not folder:
        pytest.skip("EDGESEG_DATA is not set")
    return Path(folder)
