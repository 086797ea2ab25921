"""What counts of an output of a network; the output itself, which may be large, can go."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.runtime.strips import parts, strips


class Seen(NamedTuple):
    """
    Attributes:
        shape, dtype: of the output.
        finite: neither NaN nor infinity.
        low, high: smallest and largest value; NaN where one is NaN, and for no values or values that are no
            numbers.
        any: whether one is not zero.
        whole: all are whole numbers from 0 to 65535; not told of a map of several channels.
        sums: how far sums over the channels of [N,C,H,W] are from 1 at most; infinite beyond values of 0..1.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    finite: bool = True
    low: float = np.nan
    high: float = np.nan
    any: bool = False
    whole: bool = False
    sums: float = np.inf


def seen(value: NDArray[Any]) -> Seen:
    """Look at an output in strips."""
    if value.dtype.kind != "f" or not value.size:
        return Seen(value.shape, value.dtype)
    flat = np.ravel(value)
    low = float(np.min([flat[part].min() for part in parts(flat.size)]))
    high = float(np.max([flat[part].max() for part in parts(flat.size)]))
    several = value.ndim == 4 and value.shape[1] > 1
    whole = not several and low >= 0 and high < 2**16
    sums = np.inf
    if value.ndim == 4 and low >= 0 and high <= 1:
        rows = (value[:, :, start:stop] for start, stop in strips(value.shape))
        sums = max(float(np.abs(part.sum(axis=1) - 1.0).max()) for part in rows)
    return Seen(
        value.shape,
        value.dtype,
        finite=bool(np.isfinite(low) and np.isfinite(high)),
        low=low,
        high=high,
        any=bool(flat.any()),
        whole=whole and all((flat[part] % 1 == 0).all() for part in parts(flat.size)),
        sums=sums,
    )
