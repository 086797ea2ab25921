from __future__ import annotations

import pytest

from edgeseg.core.bounds import MOST_PIXELS, fits
from edgeseg.core.documents import convert
from edgeseg.core.recipe import Recipe
from edgeseg.errors import InputError


def test_frames_that_fit():
    assert fits((8192, 8192)) and fits((1080, 1920), 32) and fits((1, MOST_PIXELS))
    assert not fits((8192, 8193)) and not fits((1080, 1920), 33) and not fits((0, 5)) and not fits((5, 5), 0)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"batch": 10**12}, "batch"),
        ({"camera_size": [10**6, 10**6]}, r"camera_size is \[1000000, 1000000\]"),
        ({"camera_size": [1080, 1920], "batch": 64}, r"camera_size is \[1080, 1920\] for 64 frames"),
        ({"model": {"name": "demo", "classes": 10**9}}, "classes is 1000000000, expected 1 to 16384"),
        ({"model": {"name": "demo", "input_size": [10**9, 10**9]}}, "input_size"),
    ],
)
def test_absurd_recipes_are_refused(more, named):
    data = {"schema_version": 1, "name": "r", "targets": ["ort-fp32"], "model": {"name": "demo"}, **more}
    with pytest.raises(InputError, match=named) as refusal:
        convert(data, Recipe, where="r.toml")
    assert "expected" in refusal.value.message
