from __future__ import annotations

import pytest
from scipy.stats import t

from edgeseg.metrics.student import t_quantile


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 10, 59, 500, 501])
def test_equals_scipy(freedom):
    for confidence in (0.5, 0.9, 0.95, 0.99):
        assert t_quantile(confidence, freedom) == pytest.approx(
            t.ppf((1 + confidence) / 2, freedom), rel=1e-8
        )
