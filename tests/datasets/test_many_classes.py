"""Maps of more classes than a byte or two bytes hold."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.datasets.tasks import labels_of


def spec(count: int) -> ModelSpec:
    return ModelSpec(
        name="net", source=Source(kind="zoo", ref="net"), input_size=(2, 2), classes=default_classes(count)
    )


@pytest.mark.parametrize(
    ("count", "dtype"), [(255, np.uint8), (256, np.uint8), (300, np.uint8), (300, np.int32)]
)
def test_a_map_is_painted_whatever_holds_it(count, dtype):
    found = np.array([[0, 255]], dtype)
    drawn = labels_of("semantic").paint(found, spec(count))
    expected = default_classes(count)[255].color if count > 255 else (0, 0, 0)
    assert drawn[0, 1].tolist() == list(expected)


@pytest.mark.parametrize(("count", "suffix"), [(256, ".png"), (300, ".png"), (70001, ".npy")])
def test_no_id_is_lost_in_a_file(tmp_path, count, suffix):
    found = np.array([[0, count - 1]], np.uint8 if count <= 256 else np.int32)
    file = labels_of("semantic").save(tmp_path, "a", found, spec(count), "a.jpg")
    assert file == f"a{suffix}"
    read = np.load(tmp_path / file) if suffix == ".npy" else np.asarray(Image.open(tmp_path / file))
    assert read.tolist() == found.tolist()
