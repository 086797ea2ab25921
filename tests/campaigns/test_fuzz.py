"""A sample of `make fuzz`; the whole runs for half an hour."""

from __future__ import annotations

import os

import pytest
from fuzz import LEAST_KINDS, Campaign, counts

SAMPLE = 60


@pytest.fixture(scope="module")
def campaign(tmp_path_factory) -> Campaign:
    return Campaign(tmp_path_factory.mktemp("fuzz"), seed=1)


def test_every_command_and_every_format_has_twenty_kinds_of_bad_input(campaign):
    few = {name: count for name, count in counts(campaign.kinds) if count < LEAST_KINDS}
    assert few == {} and len(campaign.kinds) >= 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the command line runs in forks")
def test_a_sample_of_bad_inputs_is_answered(campaign):
    wrong = [o for number, kind in campaign.chosen(SAMPLE) if (o := campaign.run(number, kind)).faults]
    assert not wrong, "\n".join(f"{o.kind}: {o.faults}\n{o.said}" for o in wrong)
