"""Bundles for cameras of other layouts: built, opened with their self-check, and run."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.core.bundle import Bundle
from edgeseg.core.drafts import draft
from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import default_classes
from edgeseg.core.recipe import ModelChoice
from edgeseg.datasets.pictures import to_camera
from edgeseg.datasets.resizing import Resizing, unsure
from edgeseg.device.infer import infer
from edgeseg.errors import InputError
from edgeseg.flow.data import Data, DataChoice, frames_for
from edgeseg.flow.load import load as load_network
from edgeseg.runtime import load
from edgeseg.steps import STEPS, Context

SIZE = (32, 48)
NETWORK = """
from torch import nn

def net(classes=3):
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, classes, 1))
    nn.init.normal_(network[2].weight, std=0.5)
    return network.eval()
"""


@pytest.fixture
def built(tmp_path):
    def make(text: str, target: str) -> Bundle:
        (tmp_path / "net.py").write_text(NETWORK)
        choice = ModelChoice(name=f"{tmp_path}/net.py:net", input_size=SIZE, preprocess={"frame": text})
        data = Data(dataset=None, classes=default_classes(3), ignore_index=None, frame_size=None)
        with draft(tmp_path / "torch") as work:
            work.finish(load_network(choice, data, work, trust_file=True))
        bundle = Bundle.open(tmp_path / "torch")
        context = Context(
            camera_size=SIZE,
            frames=frames_for(data, DataChoice(), bundle.manifest.model.preprocess, SIZE),
            work=tmp_path / "work",
            cache=tmp_path / "cache",
            dataset=None,
            trusted=choice,
        )
        for name, settings in (("export", {}), ("build", {"target": target})):
            step = STEPS.load(name).step(name)
            with draft(tmp_path / name) as work:
                work.finish(step.run(bundle, step.settings(**settings), work, context))
            bundle = Bundle.open(tmp_path / name)
        return bundle

    return make


@pytest.mark.parametrize(
    ("text", "target"),
    [("nv12", "ort-fp32"), ("yuyv:bt709", "openvino-fp32"), ("bayer_rggb:uint16:4095", "openvino-fp32")],
)
def test_a_bundle_takes_the_frames_of_its_camera(built, tmp_path, text, target):
    pytest.importorskip({"ort": "onnxruntime", "openvino": "openvino"}[target.partition("-")[0]])
    bundle, frame = built(text, target), Frame.parse(text)
    images = np.random.default_rng(0).integers(0, int(frame.full) + 1, (3, *SIZE, 3)).astype(frame.dtype)
    frames = to_camera(list(images), frame)
    with load(bundle.path) as session:
        assert session.frame == frame and session.camera_size == SIZE
        maps = session(frames)
        assert maps.shape == (3, *SIZE)
        np.testing.assert_array_equal(session(frames[0]), maps[0])
        np.testing.assert_array_equal(np.stack(list(session.stream(iter(frames)))), maps)
        seen = Resizing(unsure(session), session.spec, SIZE)(list(images))
        np.testing.assert_array_equal(np.stack(seen), maps)
        np.save(tmp_path / "frames.npy", frames)
        assert infer(session, tmp_path / "frames.npy", tmp_path / "maps.npy")[0].shape == maps.shape
        np.testing.assert_array_equal(np.load(tmp_path / "maps.npy"), maps)
        with pytest.raises(InputError, match=f"pictures of 32x48 as {text}"):
            session(images)
    with pytest.raises(InputError, match=f"color is 'bgr' for frames of {text}"):
        load(bundle.path, color="bgr")


def test_tensorrt_takes_the_bytes_of_a_mosaic(built):
    pytest.importorskip("tensorrt_rtx")
    (frames,) = built("bayer_rggb:uint16:1023", "rtx-fp16@sm86").engine.inputs
    assert (frames.dtype, frames.shape) == ("uint8", (1, 32, 96))
