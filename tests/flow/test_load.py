"""A user's ONNX file as the first bundle: what it does not tell is asked for, or said aloud."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.core.bundle import Manifest
from edgeseg.core.drafts import draft
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import GraphError, InputError, ModelError
from edgeseg.flow.beforehand import require_network
from edgeseg.flow.data import Data
from edgeseg.flow.load import load

NO_DATA = Data(dataset=None, classes=None, ignore_index=None, frame_size=None)
HALF = {"mean": (0.5,) * 3, "std": (0.5,) * 3}


def write(path: Path, *more: onnx.NodeProto, outputs: tuple[str, ...] = ("scores",)) -> ModelChoice:
    """A 1x1 convolution to 4 channels, `scores`, and what follows it."""
    weights = np.random.default_rng(0).normal(0, 1, (4, 3, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w"], ["scores"]), *more],
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 24])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list("nchw")) for name in outputs],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), str(path))
    return ModelChoice(name=str(path))


def loaded(choice: ModelChoice, folder: Path) -> Manifest:
    with draft(folder / "bundle", overwrite=True) as place:
        return load(choice, NO_DATA, place, trust_file=False)


def test_unstated_normalisation_is_said_aloud(tmp_path):
    choice = write(tmp_path / "net.onnx")
    (warning, *_) = loaded(choice, tmp_path).notes
    assert warning.startswith("WARNING: color, scale, mean, std of the network's input are not stated")
    assert "--set mean=" in warning
    stated = msgspec.structs.replace(choice, preprocess=HALF)
    assert not any("WARNING" in note for note in loaded(stated, tmp_path).notes)
    half_stated = msgspec.structs.replace(choice, preprocess={"mean": HALF["mean"]})
    assert loaded(half_stated, tmp_path).notes[0].startswith("WARNING: color, scale, std of")


def test_a_sigmoid_over_several_channels_needs_a_task(tmp_path):
    choice = write(tmp_path / "net.onnx", helper.make_node("Sigmoid", ["scores"], ["p"]), outputs=("p",))
    with pytest.raises(ModelError, match="sigmoid over 4 channels"):
        loaded(choice, tmp_path)
    for task in ("semantic", "multilabel"):
        assert loaded(msgspec.structs.replace(choice, task=task), tmp_path).model.task == task


def test_two_heads_of_one_size_need_a_name(tmp_path):
    best = helper.make_node("ReduceMax", ["scores"], ["max_prob"], keepdims=1, axes=[1])
    choice = write(tmp_path / "net.onnx", best, outputs=("scores", "max_prob"))
    with pytest.raises(GraphError, match=r"2 outputs are equally large: 'scores'.*'max_prob'"):
        loaded(choice, tmp_path)
    named = msgspec.structs.replace(choice, postprocess={"output": "scores"})
    assert len(loaded(named, tmp_path).model.classes) == 4


def test_a_key_of_weights_means_nothing_for_an_onnx_file(tmp_path):
    choice = msgspec.structs.replace(write(tmp_path / "net.onnx"), weights_key="ema")
    with pytest.raises(InputError, match="--weights-key ema with"):
        require_network(choice)
