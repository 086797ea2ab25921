from __future__ import annotations

from collections import Counter

import numpy as np
from small_graphs import network
from small_rcnn import exported, images_of

from edgeseg.graph.deciding import deciding_nodes
from edgeseg.graph.editor import Editor
from edgeseg.graph.exact_forms import exact_forms
from edgeseg.graph.reference import run, session


def test_boxes_are_moved_by_reshape_and_gather_alone():
    model = exported("v1")
    result = exact_forms(model)
    found = deciding_nodes(Editor(result))
    kinds = Counter(node.op_type for node in result.graph.node if node.output[0] in found)
    assert kinds["Reshape"] and kinds["Gather"] and not kinds["Slice"]
    image = {"image": images_of(1).numpy()}
    for name, values in run(session(model), image).items():
        np.testing.assert_array_equal(run(session(result), image)[name], values)


def test_a_network_without_things_stays_as_it_is():
    model = network()
    assert exact_forms(model) is model
