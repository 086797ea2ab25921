"""Files of the user that cannot work, or do not tell all: masks, operators, normalisation, weights."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

CODE = "import torch\ndef net(classes):\n    return torch.nn.Conv2d(3, classes, 1)\n"
CLASSES = """
schema_version = 1
encoding = "ids"
classes = [{ name = "ground", color = [0, 0, 0] }, { name = "thing", color = [255, 0, 0] }]
"""


@pytest.fixture
def refused(edgeseg, tmp_path):
    """Run, expect exit 2 with one error and no bundle, return the error."""

    def run(*arguments: object) -> str:
        before = set(tmp_path.rglob("*"))
        result = edgeseg(*arguments)
        assert (result.code, result.out) == (2, ""), result.err
        assert "Traceback" not in result.err
        assert [p for p in set(tmp_path.rglob("*")) - before if p.is_file() and p.suffix != ".pyc"] == []
        return result.err

    return run


@pytest.fixture
def pairs(tmp_path) -> Path:
    """One image of 64x64 with a mask of 32x64."""
    root = tmp_path / "pairs"
    for name, shape in (("images", (64, 64, 3)), ("masks", (32, 64))):
        (root / name).mkdir(parents=True)
        Image.fromarray(np.zeros(shape, np.uint8)).save(root / name / "a.png")
    (root / "dataset.toml").write_text(CLASSES)
    return root


def test_a_mask_of_another_size_than_its_image(refused, edgeseg, pairs, tmp_path):
    (tmp_path / "net.py").write_text(CODE)
    network = ("--model", "net.py:net", "--classes", "2", "--input-size", "64x64")
    made = edgeseg("export", *network, "--target", "ort-fp32")
    assert made.code == 0, made.err
    (bundle,) = (tmp_path / "bundles").iterdir()
    message = refused("verify", bundle, "--data", f"folders={pairs}", "--split", "all")
    assert "a.png" in message and "32x64" in message and "64x64" in message


def save(path: Path, nodes: list[onnx.NodeProto], channels: int = 3) -> Path:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 64, 64])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, channels, 64, 64])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("my.domain", 1)]
    graph = helper.make_graph(nodes, "net", [image], [scores])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
    return path


@pytest.mark.parametrize("target", ["ort-fp32", "openvino-fp32", "trt-fp16", "rtx-fp16"])
def test_pooling_with_indices_is_named_with_its_nodes(refused, tmp_path, target):
    nodes = [
        helper.make_node(
            "MaxPool", ["image"], ["small", "at"], name="down", kernel_shape=[2, 2], strides=[2, 2]
        ),
        helper.make_node(
            "MaxUnpool", ["small", "at"], ["scores"], name="up", kernel_shape=[2, 2], strides=[2, 2]
        ),
    ]
    message = refused("export", "--model", save(tmp_path / "segnet.onnx", nodes), "--target", target)
    assert "MaxUnpool 'up'" in message and "MaxPool 'down'" in message


def test_an_operator_of_another_domain_is_named_with_its_node(refused, tmp_path):
    nodes = [
        helper.make_node("Relu", ["image"], ["r"], name="first"),
        helper.make_node("Sharpen", ["r"], ["scores"], name="secret-sauce", domain="my.domain"),
    ]
    message = refused("export", "--model", save(tmp_path / "own.onnx", nodes), "--target", "ort-fp32")
    assert "Sharpen 'secret-sauce'" in message and "my.domain" in message and "own.onnx" in message


def test_what_an_onnx_file_does_not_state_is_said_on_the_terminal_and_in_json(edgeseg, tmp_path):
    model = save(tmp_path / "own.onnx", [helper.make_node("Relu", ["image"], ["scores"])])
    export = ("export", "--model", model, "--target", "ort-fp32", "--overwrite")
    assert (
        "note: WARNING: color, scale, mean, std of the network's input are not stated" in edgeseg(*export).out
    )
    (made,) = json.loads(edgeseg(*export, "--json").out)
    assert any("WARNING: color, scale, mean, std" in note for note in made["notes"])
    stated = edgeseg(*export, "--set", "mean=0.5,0.5,0.5", "--set", "std=0.5,0.5,0.5")
    assert stated.code == 0 and "WARNING" not in stated.out


def test_averaged_weights_are_told_and_chosen(edgeseg, refused, tmp_path):
    (tmp_path / "net.py").write_text(CODE)
    raw, averaged = (torch.nn.Conv2d(3, 4, 1).state_dict() for _ in range(2))
    torch.save({"state_dict": raw, "ema": averaged}, tmp_path / "w.pt")
    network = ("--model", "net.py:net", "--input-size", "64x64", "--target", "ort-fp32")
    told = edgeseg("export", *network, "--weights", "w.pt")
    assert told.code == 0 and "--weights-key ema takes the others" in told.out
    chosen = edgeseg("export", *network, "--weights", "w.pt", "--weights-key", "ema", "--overwrite")
    assert chosen.code == 0 and "--weights-key" not in chosen.out
    without = refused("export", *network, "--weights-key", "ema", "-o", "other")
    assert "--weights-key ema without --weights" in without
    unknown = refused("export", *network, "--weights", "w.pt", "--weights-key", "swa", "-o", "other")
    assert "no weights at 'swa'" in unknown


def test_training_tells_of_averaged_weights(edgeseg, tmp_path):
    (tmp_path / "net.py").write_text(CODE)
    raw, averaged = (torch.nn.Conv2d(3, 10, 1).state_dict() for _ in range(2))
    torch.save({"state_dict": raw, "ema": averaged}, tmp_path / "w.pt")
    settings = ("--limit", 2, "--train", "steps=1", "--train", "batch=2", "--set", "resize=stretch")
    made = edgeseg("train", "--model", "net.py:net", "--weights", "w.pt", "--input-size", "64x64", *settings)
    assert made.code == 0, made.err
    assert "--weights-key ema takes the others" in made.out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("net.tflite", "a TensorFlow Lite model"),
        ("net.h5", "a Keras model"),
        ("net.engine", "a TensorRT engine"),
        ("net.pth", "a PyTorch file of weights"),
        ("saved", "a TensorFlow SavedModel"),
    ],
)
def test_a_network_of_another_format_is_named_with_the_way_to_onnx(refused, tmp_path, name, said):
    if name == "saved":
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    else:
        (tmp_path / name).write_bytes(b"whatever")
    export = ("export", "--model", name, "--target", "ort-fp32")
    for command in (export, ("train", "--model", name, "--input-size", "64x64")):
        message = refused(*command)
        assert f"{name} is {said}" in message and "to fix: " in message and ".onnx" in message


@pytest.mark.parametrize("place", ["/dev/zero", "../secret.bin"])
def test_weights_outside_the_folder_of_an_onnx_file_are_not_even_hashed(
    refused, tmp_path, place, monkeypatch
):
    model = onnx.load(save(tmp_path / "net.onnx", [helper.make_node("Add", ["image", "w"], ["scores"])]))
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    model.graph.initializer.append(tensor)
    (tmp_path / "net" / "deep").mkdir(parents=True)
    path = tmp_path / "net" / "deep" / "net.onnx"
    path.write_bytes(model.SerializeToString())
    (tmp_path / "net" / "secret.bin").write_bytes(bytes(4))
    opened: list[str] = []
    whole = Path.open

    def watch(self: Path, *args: object, **options: object):
        opened.append(str(self))
        return whole(self, *args, **options)

    monkeypatch.setattr(Path, "open", watch)
    for command in (("export", "--target", "ort-fp32", "--model"), ("inspect",)):
        message = refused(*command, path)
        assert f"at '{place}', outside its own folder" in message and "'w'" in message
    assert not [name for name in opened if "secret" in name or "zero" in name]


@pytest.mark.parametrize("kind", ["a named pipe", "a device"])
def test_a_data_folder_with_a_pipe_or_a_device_is_refused_at_once(refused, pairs, tmp_path, kind):
    image = pairs / "images" / "a.png"
    image.unlink()
    os.mkfifo(image) if kind == "a named pipe" else image.symlink_to("/dev/zero")
    (tmp_path / "net.py").write_text(CODE)
    network = ("--model", "net.py:net", "--classes", "2", "--input-size", "64x64")
    message = refused("export", *network, "--target", "ort-fp32", "--data", f"folders={pairs}")
    assert f"a.png is {kind}" in message
