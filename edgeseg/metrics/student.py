"""Student's t: how many standard errors an interval reaches."""

from __future__ import annotations

import math
from functools import cache

HIGHEST = 1e6
"""Above the quantile of every confidence up to 0.999999 with one degree of freedom."""


@cache
def t_quantile(confidence: float, freedom: int) -> float:
    """What |t| stays below with this probability.

    The distribution for whole degrees of freedom is a finite sum (Abramowitz and Stegun, "Handbook of
    Mathematical Functions", 26.7.3 and 26.7.4), inverted by bisection.

    >>> round(t_quantile(0.95, 9), 3)
    2.262
    """
    low, high = 0.0, HIGHEST
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < confidence else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """Probability that the absolute value is at most `t`."""
    angle = math.atan(t / math.sqrt(freedom))
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(2 + odd, freedom, 2):
        term *= math.cos(angle) ** 2 * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
