"""The crop of a padded frame: what a transposed convolution can write smaller is never computed."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from small_graphs import TRANSPOSED, decoder, operators, outputs_of, smooth_frames, spec_of

from edgeseg.core.preprocess import Preprocess
from edgeseg.graph.deploy import compose
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import decided

SIZE, FRAME = (32, 48), (23, 31)


def maps(plain, contract, frame=FRAME):
    """What the deploy graph says, what NumPy says around the plain network, and the deploy graph."""
    spec = spec_of(SIZE, preprocess=contract)
    frames = smooth_frames(1, frame)
    deploy = compose(plain, spec, frame)
    scores = outputs_of(plain, preprocess(frames, contract, SIZE))["scores"]
    expected = decided(scores, spec, contract.place(frame, SIZE))
    assert len(np.unique(expected)) > 2
    return outputs_of(deploy, frames)["class_map"], expected, deploy


def rows_written(deploy):
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in deploy.graph.value_info}
    up = next(n for n in deploy.graph.node if n.op_type == "ConvTranspose")
    return shapes[up.output[0]][2:]


@pytest.mark.parametrize("transposed", TRANSPOSED)
@pytest.mark.parametrize("anchor", ["top-left", "center"])
@pytest.mark.parametrize("frame", [FRAME, (32, 31), (23, 48)])
def test_the_same_map_from_smaller_ones(transposed, anchor, frame):
    found, expected, deploy = maps(decoder(transposed), Preprocess(anchor=anchor), frame)
    assert "Slice" not in operators(deploy)
    np.testing.assert_array_equal(found, expected)
    written = rows_written(deploy)
    assert all(own <= side + 4 for own, side in zip(written, frame)), (
        "two 3x3 convolutions need 2 on each side"
    )


@pytest.mark.parametrize("conv", [{"pads": [2] * 4, "dilations": [2, 2]}, {"pads": [2, 0, 0, 2]}])
def test_dilation_and_uneven_pads(conv):
    found, expected, deploy = maps(decoder(conv=conv), Preprocess())
    assert "Slice" not in operators(deploy)
    np.testing.assert_array_equal(found, expected)
    assert rows_written(deploy)[0] <= FRAME[0] + 3


def test_through_quantisation_and_constants_of_channels():
    between = [
        helper.make_node("Add", ["c", "each"], ["c1"], name="add"),
        helper.make_node("QuantizeLinear", ["c1", "step", "zero"], ["c2"], name="q"),
        helper.make_node("DequantizeLinear", ["c2", "step", "zero"], ["d"], name="dq"),
    ]
    found, expected, deploy = maps(decoder(between=between), Preprocess())
    assert "Slice" not in operators(deploy)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "between",
    [
        [helper.make_node("Softmax", ["c"], ["d"], name="mixes", axis=3)],
        [
            helper.make_node("MaxPool", ["c"], ["p"], name="p", kernel_shape=[3, 3], pads=[1] * 4),
            helper.make_node("Add", ["c", "p"], ["d"], name="two"),
        ],
    ],
    ids=["over columns", "read twice"],
)
def test_what_looks_further_is_cut_at_the_end(between):
    found, expected, deploy = maps(decoder(between=between), Preprocess())
    assert "Slice" in operators(deploy)
    np.testing.assert_array_equal(found, expected)


def test_openvino_agrees():
    openvino = pytest.importorskip("openvino")
    _, expected, deploy = maps(decoder(), Preprocess(anchor="center"))
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(deploy.SerializeToString(), b""), "CPU", hints)
    assert (compiled([smooth_frames(1, FRAME)])["class_map"] == expected).mean() >= 0.999
