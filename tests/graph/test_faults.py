from __future__ import annotations

import itertools

import numpy as np
import pytest
from small_graphs import network, smooth_frames, spec_of

from edgeseg.graph import faults
from edgeseg.graph.deploy import compose
from edgeseg.graph.faults import smallest_shown, trials
from edgeseg.graph.golden import golden


def test_every_frame_and_every_wrong_network_is_tried():
    for batches, networks, enough in itertools.product((1, 2, 5, 8), (1, 3, 4), (0, 5, 7, 100)):
        found = trials(batches, networks, enough)
        assert min(enough, batches * networks) <= len(found) <= max(enough, batches + networks)
        assert {batch for batch, _ in found} == set(range(batches))
        assert {network for _, network in found} == set(range(networks))


def test_on_large_frames_a_share_of_the_trials_tells_the_same(monkeypatch):
    size, frames = (32, 48), smooth_frames(4, (32, 48))
    spec, plain = spec_of(size), network()
    found = golden(compose(plain, spec, size), plain, spec, frames, bits=8)
    right, stable = {"class_map": found["plain/class_map"]}, found["stable"]
    all_trials = smallest_shown(plain, spec, frames, right, stable, 0.995)
    monkeypatch.setattr(faults, "ENOUGH", 4 * 32 * 48)
    assert smallest_shown(plain, spec, frames, right, stable, 0.995) == pytest.approx(all_trials, rel=0.5)
    assert np.isfinite(all_trials)
