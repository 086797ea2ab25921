from __future__ import annotations

import pytest

from edgeseg.errors import InputError, TargetError
from edgeseg.pruning import PruneSettings


@pytest.mark.parametrize(
    "wrong",
    [{"keep": 0.0}, {"keep": 1.0}, {"layer_keep": 0.0}, {"layer_keep": 1.5}, {"rounds": 0}, {"multiple": 0}],
)
def test_numbers_that_mean_nothing_are_named(wrong):
    (name, value), = wrong.items()  # fmt: skip
    with pytest.raises(InputError, match=f"{name} of the pruning is {value}"):
        PruneSettings(**wrong)


@pytest.mark.parametrize("measuring", [{"by": "latency"}, {"staircase": True}])
def test_what_is_measured_needs_a_target(measuring):
    with pytest.raises(InputError, match="target of the pruning is empty"):
        PruneSettings(**measuring)
    with pytest.raises(TargetError):
        PruneSettings(**measuring, target="fastest")
    assert PruneSettings(**measuring, target="openvino-fp32").measures
