"""A network of one convolution and a folder of labelled images, in files that a test may change."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from edgeseg.core.bundle import Bundle
from edgeseg.core.drafts import draft
from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe
from edgeseg.core.status import BuildStatus

NET = """
from torch import nn
from helper import bias

def net(classes=2):
    layer = nn.Conv2d(3, classes, 3, padding=1)
    nn.init.constant_(layer.bias, bias())
    return layer
"""
CLASSES = """
schema_version = 1
encoding = "ids"
classes = [{ name = "ground", color = [0, 0, 0] }, { name = "wall", color = [200, 0, 0] }]
"""


def write_network(folder: Path) -> ModelChoice:
    (folder / "net.py").write_text(NET)
    (folder / "helper.py").write_text("def bias():\n    return 0.0\n")
    return ModelChoice(name=str(folder / "net.py:net"), input_size=(32, 32))


def write_data(folder: Path) -> DataChoice:
    """Noise, labelled by its left and right half."""
    (folder / "dataset.toml").write_text(CLASSES)
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 3)):
        for index in range(count):
            save(folder / "images" / split / f"{index}.png", random.integers(0, 255, (32, 32, 3), np.uint8))
            save(folder / "masks" / split / f"{index}.png", np.tile(np.arange(32) // 16, (32, 1)))
    return DataChoice(name="folders", root=str(folder))


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def write_recipe(folder: Path, **fields: object) -> Recipe:
    """Network and data in `folder`; accuracy only."""
    folder.mkdir(exist_ok=True)
    (folder / "lab").mkdir()
    defaults = {"model": write_network(folder), "data": write_data(folder / "lab"), "targets": ("ort-fp32",)}
    return Recipe(schema_version=1, name="small", **{"bench": False, **defaults, **fields})


def write_onnx(path: Path, weight: float) -> None:
    """A 1x1 convolution whose weights lie in `net.data` beside it."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    values = numpy_helper.from_array(np.full((2, 3, 1, 1), weight, np.float32), "weight")
    conv = helper.make_node("Conv", ["image", "weight"], ["scores"], name="conv")
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2, 32, 32])
    graph = helper.make_graph([conv], "small", [image], [scores], [values])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.with_name("net.data").unlink(missing_ok=True)
    save_model(model, str(path), save_as_external_data=True, location="net.data", size_threshold=0)


def deferred(bundle: Bundle, folder: Path) -> Bundle:
    """The same bundle, as it is before its engine is built."""
    with draft(folder) as result:
        for name in bundle.manifest.files:
            if not name.startswith("engine/"):
                (result.path / name).write_bytes(bundle.file(name).read_bytes())
        record = msgspec.structs.replace(bundle.engine, entry="", inputs=(), outputs=())
        status = BuildStatus(state="deferred", reason="for the test")
        result.finish(msgspec.structs.replace(bundle.manifest, kind="deferred", engine=record, build=status))
    return Bundle.open(folder)
