"""The contract of a bundle in words."""

from __future__ import annotations

from spots import spots_bundle, spots_spec

from edgeseg.cli.render import contract
from edgeseg.core.bundle import Bundle


def test_a_network_of_instances_says_which_scores_count(tmp_path, capsys):
    contract(Bundle.open(spots_bundle(tmp_path)))
    contract(Bundle.open(spots_bundle(tmp_path, "each", spec=spots_spec((0.4, 0.5, 0.6)))))
    told = capsys.readouterr().out
    assert "boxes float32 [1,3,4], scores float32 [1,3]" in told and "unsettled int32 [1], instance" in told
    assert "scores from 0.05; a thing is drawn from 0.5; masks pasted in the runtime" in told
    assert "a thing is drawn from that of its class" in told and "logits" not in told
