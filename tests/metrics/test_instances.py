from __future__ import annotations

import numpy as np
import pytest

from edgeseg.errors import InputError
from edgeseg.metrics import Instances, matches

GOOD = Instances(
    np.array([[0, 0, 2, 2], [1, 1, 4, 4]], np.float32),
    np.array([0, 2], np.int32),
    np.array([0.5, 0.7], np.float32),
    np.ones((2, 5, 5), bool),
)

BAD = [
    ({"boxes": GOOD.boxes[:1]}, r"boxes of the prediction are \[1, 4\]"),
    ({"scores": np.ones((2, 3))}, r"scores of the prediction are \[2, 3\]"),
    ({"scores": np.array([0.5, np.nan])}, "scores of the prediction hold NaN"),
    ({"boxes": GOOD.boxes[:, ::-1]}, "ends before it starts"),
    ({"masks": np.ones((1, 5, 5), bool)}, r"masks of the prediction are \[1, 5, 5\]"),
    ({"masks": None}, "the prediction has boxes alone"),
    ({"masks": np.ones((2, 5, 6), bool)}, r"\[5, 5\] pixels, the prediction of \[5, 6\]"),
    ({"labels": np.array([0, 3])}, "the prediction holds the class id 3"),
    ({"labels": np.array([0, -1])}, "the prediction holds the class id -1"),
    ({"labels": np.array([0.0, 1.0])}, "labels of the prediction are float64"),
]


@pytest.mark.parametrize(("change", "said"), BAD, ids=[said for _, said in BAD])
def test_what_does_not_belong_together_is_named(change, said):
    with pytest.raises(InputError, match=said):
        matches(GOOD, GOOD._replace(**change), 3, masks=True)


def test_the_label_is_looked_at_too():
    with pytest.raises(InputError, match=r"area of the label are \[1\]"):
        matches(GOOD._replace(area=np.ones(1)), GOOD, 3, masks=False)
