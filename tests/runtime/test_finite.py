from __future__ import annotations

import numpy as np
import pytest

from edgeseg.runtime.finite import broken

INF = np.inf


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0], ""),
        ([1.0, np.nan], "NaN"),
        (np.nan, "NaN"),
        ([1.0, INF], "infinite values"),
        ([1.0, -INF], "infinite values"),
        ([-INF, -INF], "infinite values"),
        ([[0.0, -INF], [0.0, 0.0]], ""),
        (INF, ""),
        ([-INF], ""),
    ],
    ids=["finite", "nan", "nan-bound", "inf", "minus-inf", "all-inf", "attention-mask", "clip-bound", "fill"],
)
def test_nan_and_infinite_weights_are_broken_and_bounds_and_masks_are_not(values, expected):
    assert broken(np.array(values, np.float32)) == expected


def test_integers_are_never_broken():
    assert broken(np.arange(3)) == ""
