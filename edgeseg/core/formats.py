"""Files that hold a network edgeseg does not read: what they are, and how to come to one that it reads."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from edgeseg.errors import InputError

EXPECTED = "an .onnx or .pt2 file, path/to/net.py:factory, or a name of the zoo"


class Format(NamedTuple):
    """
    Attributes:
        name: with its article, as a sentence about a file goes on.
        hint: how to make an ONNX file of it.
    """

    name: str
    hint: str


_TF = "pip install tf2onnx; python -m tf2onnx.convert {} --output net.onnx"
_TORCH = "torch.onnx.export(net.eval(), example, 'net.onnx', dynamo=True)"
_AGAIN = "an engine cannot be turned back: give the ONNX file or the network it was made from"
_ORIGIN = "export ONNX from the framework the network was trained in"

TFLITE = Format("a TensorFlow Lite model", _TF.format("--tflite FILE"))
KERAS = Format("a Keras model", "keras.models.load_model(FILE).export('net.onnx', format='onnx') (Keras 3)")
SAVED_MODEL = Format("a TensorFlow SavedModel", _TF.format("--saved-model FOLDER"))
GRAPH_DEF = Format(
    "a TensorFlow graph",
    _TF.format("--graphdef FILE --inputs IN:0 --outputs OUT:0") + "; rename an ONNX file",
)
CORE_ML = Format("a Core ML model", _ORIGIN)
TENSORRT = Format("a TensorRT engine", _AGAIN)
TORCH_WEIGHTS = Format("a PyTorch file of weights", "name the network too: --model NAME --weights FILE")
TORCH_SCRIPT = Format("a TorchScript file", f"export the network it was traced from: {_TORCH}")
PADDLE = Format(
    "a PaddlePaddle model",
    "pip install paddle2onnx; paddle2onnx --model_dir DIR --model_filename FILE --params_filename WEIGHTS "
    "--save_file net.onnx",
)
PAGE = Format("a web page", "the download went wrong: follow the link in a browser, or log in")
POINTER = Format("a Git LFS pointer", "the file itself is not here yet: run `git lfs pull`")

_CONTENT = (
    (4, b"TFL3", TFLITE),
    (0, b"\x89HDF\r\n\x1a\n", KERAS),
    (0, b"ptrt", TENSORRT),
    (0, b"ftrt", TENSORRT),
    (0, b"version https://git-lfs", POINTER),
    (0, b"<!DOCTYPE", PAGE),
    (0, b"<!doctype", PAGE),
    (0, b"<html", PAGE),
)
"""(offset, bytes there, format)."""
_LONGEST = max(offset + len(magic) for offset, magic, _ in _CONTENT)

_ENDINGS = {
    ".tflite": TFLITE,
    ".lite": TFLITE,
    ".h5": KERAS,
    ".hdf5": KERAS,
    ".keras": KERAS,
    ".pb": GRAPH_DEF,
    ".pbtxt": GRAPH_DEF,
    ".mlmodel": CORE_ML,
    ".mlpackage": CORE_ML,
    ".mlmodelc": CORE_ML,
    ".engine": TENSORRT,
    ".plan": TENSORRT,
    ".trt": TENSORRT,
    ".pt": TORCH_WEIGHTS,
    ".pth": TORCH_WEIGHTS,
    ".ckpt": TORCH_WEIGHTS,
    ".bin": TORCH_WEIGHTS,
    ".safetensors": TORCH_WEIGHTS,
    ".torchscript": TORCH_SCRIPT,
    ".ptl": TORCH_SCRIPT,
    ".pdmodel": PADDLE,
    ".pdiparams": PADDLE,
    ".xml": Format("an OpenVINO IR model", _AGAIN),
    ".blob": Format("an OpenVINO blob", _AGAIN),
    ".ort": Format("a model in ONNX Runtime's own format", _AGAIN),
    ".hef": Format("a Hailo executable", _AGAIN),
    ".rknn": Format("an RKNN model", _AGAIN),
    ".dlc": Format("a Qualcomm DLC model", _AGAIN),
    ".mnn": Format("an MNN model", _AGAIN),
    ".param": Format("an ncnn model", _AGAIN),
    ".caffemodel": Format("a Caffe model", _ORIGIN),
    ".prototxt": Format("a Caffe model", _ORIGIN),
    ".weights": Format("a Darknet file of weights", _ORIGIN),
    ".cfg": Format("a Darknet network", _ORIGIN),
}


def format_of(path: Path) -> Format | None:
    """What a file or folder is, by its first bytes, else by its ending; None: unknown, or nothing there."""
    if path.is_dir():
        saved = any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt"))
        return SAVED_MODEL if saved else _ENDINGS.get(path.suffix.lower())
    return (content_of(path) or _by_ending(path)) if path.is_file() else None


def content_of(path: Path) -> Format | None:
    """What the first bytes of a file tell."""
    try:
        with path.open("rb") as file:
            start = file.read(_LONGEST)
    except OSError:
        return None
    return next((kind for at, magic, kind in _CONTENT if start[at : at + len(magic)] == magic), None)


def refuse_format(path: Path, *, error: type[InputError] = InputError) -> None:
    """Raise `error`, with the way to an ONNX file, for a network in a format that edgeseg does not read."""
    found = format_of(path)
    if found is not None:
        raise error(f"{path} is {found.name}", expected=EXPECTED, hint=found.hint)


def _by_ending(path: Path) -> Format | None:
    if path.name.startswith("saved_model."):
        return SAVED_MODEL
    return _ENDINGS.get(path.suffix.lower())
