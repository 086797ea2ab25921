from __future__ import annotations

import numpy as np
import pytest

from edgeseg.errors import InputError
from edgeseg.metrics import agreement


def test_share_of_equal_pixels():
    a = np.zeros((2, 10, 10), np.uint8)
    b = a.copy()
    b[0, :5, :4] = 3
    assert agreement(a, a) == 1.0
    assert agreement(a, b) == 0.9


def test_only_masked_pixels_are_compared():
    a, b = np.array([[0, 1, 2, 3]]), np.array([[0, 1, 0, 0]])
    assert agreement(a, b, np.array([[True, True, False, True]])) == pytest.approx(2 / 3)
    with pytest.raises(InputError, match="no pixel"):
        agreement(a, b, np.zeros((1, 4), bool))


def test_shapes_that_differ():
    with pytest.raises(InputError, match="same shape"):
        agreement(np.zeros((2, 2)), np.zeros((2, 3)))
