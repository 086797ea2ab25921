from __future__ import annotations

import pytest
import torch

from edgeseg.errors import ModelError
from edgeseg.models.outputs import with_one_output


def network(image: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "classes": torch.zeros(1, 10),
        "coarse": image[..., ::8, ::8],
        "labels": torch.zeros(1, 1, 64, 64, dtype=torch.int64),
        "fused": image[..., ::2, ::2],
        "side": image[..., 1::2, 1::2],
    }


def test_the_largest_float_map_counts_and_the_first_of_equals():
    assert with_one_output(network, (64, 64), "")[1] == "fused"


def test_no_score_map():
    with pytest.raises(ModelError, match=r"no score map: .*\[1, 10\]"):
        with_one_output(lambda image: {"classes": torch.zeros(1, 10)}, (64, 64), "")
