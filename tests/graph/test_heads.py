"""What the heads of a Mask R-CNN say, and its network asked about given boxes."""

from __future__ import annotations

import numpy as np
import pytest
from small_graphs import network
from small_rcnn import exported, images_of

from edgeseg.errors import GraphError
from edgeseg.graph.editor import shape_of
from edgeseg.graph.heads import Heads, heads_of, returning
from edgeseg.graph.reference import run, session
from edgeseg.quantization.ptq import PtqSettings, quantize
from edgeseg.quantization.schemes import scheme_for

IMAGE = {"image": images_of(1).numpy()}


def test_heads_are_the_last_layers_before_something_is_decided():
    model = exported("v1")
    heads = heads_of(model)
    shapes = [shape_of(output) for output in returning(model, heads.said).graph.output]
    levels = [(40, 56), (20, 28), (10, 14), (5, 7), (3, 4)]
    rpn = [(1, channels, *size) for size in levels for channels in (3, 12)]
    assert shapes == [*rpn, (60, 4), (60, 16), (20, 4, 28, 28)]
    kinds = [shape_of(output) for output in returning(model, heads.decided).graph.output]
    pooled = [[(count, 4), (count,), *[(count, 1, 1, 1)] * 3] for count in (60, 20)]
    assert kinds == [*pooled[0], *pooled[1]]


def test_asked_about_the_same_boxes_they_say_the_same():
    model = exported("v1")
    heads = heads_of(model)
    whole = run(session(returning(model, (*heads.said, *heads.decided))), IMAGE)
    asked = returning(model, heads.said, heads.decided)
    assert not {"TopK", "Softmax", "Exp"} & {node.op_type for node in asked.graph.node}
    found = run(session(asked), IMAGE | {name: whole[name] for name in heads.decided})
    for name in heads.said:
        np.testing.assert_array_equal(found[name], whole[name])


def test_they_are_the_same_in_int8():
    settings = PtqSettings(correct_bias=False)
    quantized = quantize(exported("v1"), [IMAGE], scheme_for("openvino"), settings).model
    assert heads_of(quantized) == heads_of(exported("v1"))


def test_a_network_without_things_has_none():
    assert heads_of(network()) == Heads((), ())


def test_a_tensor_that_is_not_there_is_named():
    with pytest.raises(GraphError, match="no tensor 'nothing'"):
        returning(network(), ["nothing"])
