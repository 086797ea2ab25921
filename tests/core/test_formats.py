from __future__ import annotations

import pytest

from edgeseg.core.formats import format_of, refuse_format
from edgeseg.errors import ModelError


@pytest.mark.parametrize(
    ("file", "said", "way"),
    [
        ("net.tflite", "TensorFlow Lite", "tf2onnx.convert --tflite"),
        ("net.h5", "Keras", "format='onnx'"),
        ("net.KERAS", "Keras", "format='onnx'"),
        ("net.pb", "TensorFlow graph", "--graphdef"),
        ("saved_model.pb", "SavedModel", "--saved-model"),
        ("net.mlmodel", "Core ML", "framework"),
        ("net.engine", "TensorRT engine", "it was made from"),
        ("net.plan", "TensorRT engine", "it was made from"),
        ("net.xml", "OpenVINO", "it was made from"),
        ("net.pdmodel", "PaddlePaddle", "paddle2onnx"),
        ("net.pth", "PyTorch", "--weights"),
    ],
)
def test_a_file_is_known_by_its_ending(tmp_path, file, said, way):
    (tmp_path / file).write_bytes(b"whatever")
    with pytest.raises(ModelError) as refusal:
        refuse_format(tmp_path / file, error=ModelError)
    assert f"{file} is a" in refusal.value.message and said in refusal.value.message
    assert way in refusal.value.hint and ".onnx" in refusal.value.expected


def test_what_is_inside_counts_more_than_the_ending(tmp_path):
    (tmp_path / "net.pb").write_bytes(b"\x1c\0\0\0TFL3")
    assert "Lite" in format_of(tmp_path / "net.pb").name


def test_a_saved_model_is_a_folder(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    assert "--saved-model" in format_of(tmp_path).hint


@pytest.mark.parametrize("name", ["net.onnx", "net.pt2", "unet", "nowhere.tflite"])
def test_what_is_read_or_not_there_is_not_refused(tmp_path, name):
    if name != "nowhere.tflite":
        (tmp_path / name).write_bytes(b"\x08\x09")
    refuse_format(tmp_path / name)
