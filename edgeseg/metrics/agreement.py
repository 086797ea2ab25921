"""How far two engines give the same class map. Needs no labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.metrics.confusion import Labels, require_same_shape


def agreement(a: Labels, b: Labels, mask: NDArray[np.bool_] | None = None) -> float:
    """Share of pixels with the same class in two class maps of one shape, 0..1.

    Args:
        mask: bool of the same shape; only pixels that are True are compared.

    Raises:
        InputError: shapes differ, or no pixel is compared.

    >>> agreement(np.array([[0, 1], [2, 2]]), np.array([[0, 1], [2, 0]]))
    0.75
    """
    require_same_shape(a, b, "the first class map", "the second")
    if mask is not None:
        require_same_shape(a, mask, "the class maps", "the mask")
    same = a == b if mask is None else (a == b)[mask]
    if not same.size:
        raise InputError("no pixel of the two class maps is compared", expected="at least one")
    return float(same.mean())
