"""What stays float32, in graphs written as steps."""

from __future__ import annotations

from edgeseg.core.deciding import Step, deciding


def step(name, kind, *reads, values=None, constant=False):
    return Step(name, kind, reads, reads if values is None else values, constant)


IMAGE = step("image", "input")
HEAD = step("head", "layer", "image", constant=True)


def test_a_network_without_things_has_none():
    steps = [IMAGE, HEAD, step("softmax", "other", "head"), step("argmax", "other", "softmax")]
    assert deciding(steps) == frozenset()


def test_what_ranks_and_all_behind_the_last_layer_before_it():
    steps = [
        IMAGE,
        HEAD,
        step("deltas", "layer", "image", constant=True),
        step("anchors", "mover", "best", values=()),
        step("sigmoid", "other", "head"),
        step("best", "order", "sigmoid"),
        step("boxes", "other", "deltas", "anchors"),
        step("iou", "other", "boxes"),
        step("suppressed", "product", "iou", "best"),
        step("last", "order", "suppressed"),
        step("picked", "mover", "boxes", "last", values=("boxes",)),
        step("doubled", "other", "picked"),
    ]
    everything = {"anchors", "sigmoid", "best", "boxes", "iou", "suppressed", "last", "picked", "doubled"}
    assert deciding(sorted(steps, key=lambda s: s.name == "anchors")) >= everything - {"anchors"}
    ordered = [*steps[:3], *steps[4:6], steps[3], *steps[6:]]
    assert deciding(ordered) == everything


def test_layers_with_weights_and_maps_do_not_belong_to_it():
    steps = [
        IMAGE,
        HEAD,
        step("moved", "mover", "head"),
        step("scores", "product", "moved", constant=True),
        step("best", "order", "scores"),
        step("boxes", "other", "best"),
        step("map", "other", "head"),
        step("rois", "sampler", "map", "boxes", values=("boxes",)),
        step("relu", "other", "rois"),
        step("mixed", "other", "relu", "boxes"),
    ]
    assert deciding(steps) == {"best", "boxes", "rois"}


def test_values_of_a_layer_are_moved_before_they_are_widened():
    steps = [
        IMAGE,
        HEAD,
        step("rows", "mover", "head"),
        step("columns", "mover", "rows"),
        step("halved", "other", "columns"),
        step("turned", "mover", "halved"),
        step("best", "order", "turned"),
    ]
    assert deciding(steps) == {"halved", "turned", "best"}


def test_a_map_that_is_sampled_at_constant_places_decides_nothing():
    steps = [IMAGE, HEAD, step("warped", "sampler", "head", values=(), constant=True)]
    assert deciding(steps) == frozenset()
