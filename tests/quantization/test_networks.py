"""Trained networks, quantised from images of CamVid train, against their own float class maps."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from edgeseg.backends import backend_for
from edgeseg.core.ports import BuildSettings
from edgeseg.core.preprocess import Preprocess
from edgeseg.core.recipe import ModelChoice
from edgeseg.core.target import Target
from edgeseg.datasets import open_dataset
from edgeseg.graph.export import export_torch
from edgeseg.graph.fold import fold
from edgeseg.graph.reference import run, session
from edgeseg.models.load import resolve
from edgeseg.quantization.ptq import PtqSettings, quantize
from edgeseg.quantization.schemes import scheme_named
from edgeseg.runtime.preprocess import preprocess

NETWORKS = {
    "munet": ("mobile-unet", "munet_camvid.pt"),
    "effunet": ("eff-unet", "effunet_camvid.pt"),
}
SIZE = (384, 480)


@lru_cache(maxsize=2)
def network(name: str, data: Path) -> ModelProto:
    model, weights = NETWORKS[name]
    loaded = resolve(
        ModelChoice(name=model, weights=str(data / "weights" / weights), classes=11, input_size=SIZE)
    )
    return fold(export_torch(loaded.module, (3, *SIZE)))


@lru_cache(maxsize=1)
def images(data: Path) -> list[dict[str, np.ndarray]]:
    train = open_dataset("camvid", data / "camvid").split("train")
    contract = Preprocess()
    return [{"image": preprocess(train.image(i)[None], contract, SIZE)} for i in range(0, len(train), 30)]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_class_map_stays(name: str, data: Path) -> None:
    pytest.importorskip("openvino")
    import openvino

    model, feeds = network(name, data), images(data)
    result = quantize(model, feeds[::2], scheme_named("openvino"))
    assert result.notes == ()
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(result.model.SerializeToString()),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 2},
    )
    opened, request = session(model), compiled.create_infer_request()
    same = []
    for feed in feeds[1::4]:
        expected = next(iter(run(opened, feed).values())).argmax(1)
        same.append((request.infer(feed)[0].argmax(1) == expected).mean())
    assert np.mean(same) > 0.96


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_builds_with_tensorrt_rtx(name: str, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    settings = PtqSettings(correct_bias=False)
    result = quantize(network(name, data), images(data)[:1], scheme_named("tensorrt"), settings)
    file = tmp_path / "qdq.onnx"
    onnx.save(result.model, file)
    target = Target.parse("rtx-fp32@sm86")
    built = backend_for(target).build(file, target, tmp_path, BuildSettings())
    assert built.outputs[0].shape == (1, 11, *SIZE)
