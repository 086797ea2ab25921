from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgeseg.datasets.masks import read_ids
from edgeseg.errors import DataError, EdgesegWarning

IDS = np.arange(12, dtype=np.uint8).reshape(3, 4) % 4


def test_ids_are_read_as_they_are_stored(tmp_path):
    def written(name: str, image: Image.Image) -> None:
        image.save(tmp_path / name)
        np.testing.assert_array_equal(read_ids(tmp_path / name), IDS)

    written("grey.png", Image.fromarray(IDS))
    written("deep.png", Image.fromarray(IDS.astype(np.uint16)))
    written("int32.tif", Image.fromarray(IDS.astype(np.int32)))
    written("float.tif", Image.fromarray(IDS.astype(np.float32)))
    written("equal.png", Image.fromarray(np.repeat(IDS[..., None], 3, 2)))
    written("opaque.png", Image.merge("LA", (Image.fromarray(IDS), Image.new("L", (4, 3), 255))))
    np.save(tmp_path / "ids.npy", IDS)
    np.testing.assert_array_equal(read_ids(tmp_path / "ids.npy"), IDS)


def test_two_bit_greys_are_not_stretched(tmp_path):
    palette = Image.frombytes("P", (4, 3), IDS.tobytes())
    palette.putpalette([v for i in range(4) for v in (i * 85,) * 3])
    palette.save(tmp_path / "p.png", bits=2)
    np.testing.assert_array_equal(read_ids(tmp_path / "p.png"), IDS)


@pytest.mark.parametrize("value", [0.5, 256.0, -1.0, np.nan])
def test_values_that_are_no_ids_are_refused_by_their_place(tmp_path, value):
    values = IDS.astype(np.float32)
    values[1, 2] = value
    np.save(tmp_path / "m.npy", values)
    with pytest.raises(DataError, match="row 1, column 2"):
        read_ids(tmp_path / "m.npy")


def test_channels_that_differ_are_no_ids(tmp_path):
    Image.fromarray(np.dstack([IDS, IDS, IDS + 1])).save(tmp_path / "m.png")
    with pytest.raises(DataError, match="mode RGB"):
        read_ids(tmp_path / "m.png")


def test_a_palette_that_a_tool_has_sorted_is_told(tmp_path):
    image = Image.frombytes("P", (4, 3), IDS.tobytes())
    image.putpalette([3, 3, 3, 2, 2, 2, 1, 1, 1, 0, 0, 0])
    image.save(tmp_path / "m.png")
    meant = {(i, i, i): frozenset({i}) for i in range(4)}
    with pytest.warns(EdgesegWarning, match="palette"):
        np.testing.assert_array_equal(read_ids(tmp_path / "m.png", palette=meant), IDS)
