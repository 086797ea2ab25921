"""What a graph of instances loses: mask AP, with labels and without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spots import SIZE, Spots, spots_graph, spots_spec

from edgeseg.core.recipe import Budget
from edgeseg.datasets.pictures import seen_by
from edgeseg.errors import DataError
from edgeseg.quantization.planner.held_out_loss import LOOKS, HeldOut
from edgeseg.quantization.planner.trial_engine import Simulated

COUNT = 64


def held_out(labels=True, threshold=0.5, spots=None):
    split = (spots or Spots(count=COUNT)).split("val")
    if not labels:
        split = replace(split, classes=())
    return HeldOut(spots_graph(), spots_spec(threshold), SIZE, seen_by(split, SIZE))


def graph(**damage):
    """What a worse graph finds in a frame."""
    from edgeseg.graph.deploy import compose

    spec = spots_spec()
    return Simulated(compose(spots_graph(**damage), spec, SIZE), spec, SIZE).found


@pytest.mark.parametrize("labels", [True, False])
def test_a_graph_that_loses_nothing_is_known_after_the_first_look(labels):
    loss = held_out(labels).loss(graph(), within=Budget(max_drop=0.5))
    assert loss.kept and loss.images == COUNT // LOOKS
    assert (loss.metric, loss.drop, loss.changed) == ("mask AP", 0.0, pytest.approx(0.0))


@pytest.mark.parametrize("labels", [True, False])
def test_a_class_that_is_lost(labels):
    some = held_out(labels)
    loss = some.loss(graph(bias=(0.0, -1.0, 0.0)), within=Budget(max_class_drop={"green": 50.0}))
    assert not loss.kept and loss.images == COUNT
    assert loss.class_drop["red"] == 0.0 and loss.class_drop["green"] > 75
    assert loss.class_changed == pytest.approx({"red": 0.0, "green": 100.0, "blue": 0.0})
    assert loss.drop == pytest.approx(loss.class_drop["green"] / 3)
    assert loss.changed == pytest.approx(100 / 3)


def test_masks_that_are_moved_change_much_more_than_a_little():
    little, much = (held_out().loss(graph(shift=shift), quick=True) for shift in (1.0, 4.0))
    assert 0 < little.changed < much.changed and little.images == 12


def test_what_is_kept_of_the_fp32_network_is_small(monkeypatch):
    """Of each image its matches and what it says at the working point, not a mask of every guess."""
    some = held_out(threshold=0.9)
    some.loss(graph(), quick=True)
    said = [one.said for one in some._reference._made.values()]
    assert len(said) == 12 and all((one.scores >= 0.9).all() for one in said)
    assert sum(len(one.labels) for one in said) < 3 * 12 - 6


def test_few_images_that_show_nothing_are_no_measure():
    """Every fifth image is empty; the few that are looked at first are those."""
    ids = tuple(str(place + 4) for place in range(COUNT))
    images = replace(Spots(count=COUNT).split("val"), ids=ids)
    some = HeldOut(spots_graph(), spots_spec(), SIZE, seen_by(images, SIZE))
    loss = some.loss(graph(bias=(0.0, -1.0, 0.0)), quick=True)
    assert loss.images == COUNT and loss.drop > 10


def test_a_network_that_finds_nothing_decides_nothing():
    nothing = replace(Spots(count=20).split("val"), read_image=lambda name: np.zeros((*SIZE, 3), np.uint8))
    some = HeldOut(spots_graph(), spots_spec(), SIZE, seen_by(nothing, SIZE))
    for within in (None, Budget(max_drop=50.0)):
        with pytest.raises(DataError, match="the FP32 network finds nothing in the 20 held-out images"):
            some.loss(graph(), within=within)


def test_labels_without_a_thing_decide_nothing():
    spots = Spots(count=20)
    empty = replace(spots.split("val"), read_label=lambda name: spots.truth(4))
    some = HeldOut(spots_graph(), spots_spec(), SIZE, seen_by(empty, SIZE))
    with pytest.raises(DataError, match="the labels show nothing in the 20 held-out images"):
        some.loss(graph(), quick=True)
