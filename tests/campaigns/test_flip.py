"""A sample of `tests/campaigns/flip.py`."""

from __future__ import annotations

from flip import campaign


def test_no_flipped_bit_is_taken_for_the_bundle_that_was_made(tmp_path):
    found = campaign(tmp_path, 60, seed=1)
    assert {kind for kind, _ in found} == {"torch", "onnx", "qdq", "deferred", "engine", "cache"}
    assert not [outcome for _, outcome in found if outcome.startswith("ACCEPTED")]
