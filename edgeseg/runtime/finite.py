"""Whether weights can be computed with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def broken(values: NDArray[Any]) -> str:
    """`NaN` or `infinite values` where a tensor of weights holds some; else empty.

    Not broken: a bound (a single number), and a mask that is added to scores of attention (zeros, and
    minus infinity where nothing may be seen).
    """
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return ""
    if np.isnan(values).any():
        return "NaN"
    mask = bool(((values == 0) | (values == -np.inf)).all() and (values == 0).any())
    return "" if mask or values.size == 1 else "infinite values"
