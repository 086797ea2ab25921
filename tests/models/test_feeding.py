"""Networks that do not take what edgeseg feeds them, and what the error says to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeseg.core.frame import Frame
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import ModelError
from edgeseg.models.load import resolve

CODE = """
import torch
from torch import nn

class Two(nn.Module):
    def forward(self, image, mask):
        return image * mask

class None_(nn.Module):
    def forward(self):
        return torch.zeros(1, 2, 32, 32)

class Wrong(nn.Module):
    def forward(self, image):
        return image.nothing()

def five():
    return nn.Sequential(nn.Conv2d(5, 8, 1), nn.Conv2d(8, 2, 1))

def grey():
    return nn.Conv2d(1, 2, 1)

class broken_grey(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 2, 1)

    def forward(self, image):
        return self.first(image).nothing()

def half():
    return nn.Conv2d(3, 2, 1).half()

def double():
    return nn.Conv2d(3, 2, 1).double()

two, none, wrong = Two, None_, Wrong
"""


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("half", "its weights are float16: return network.float()"),
        ("double", "its weights are float64: return network.float()"),
        ("two", "its forward takes 2 inputs (image, mask)"),
        ("none", "its forward takes no input"),
        ("wrong", "it was run on such an image"),
    ],
)
def test_the_error_says_what_is_wrong_with_the_network(tmp_path: Path, factory: str, said: str):
    (tmp_path / "net.py").write_text(CODE)
    with pytest.raises(ModelError) as caught:
        resolve(ModelChoice(name=f"{tmp_path}/net.py:{factory}", input_size=(32, 32)))
    assert said in caught.value.hint
    assert "float32 [1, 3, 32, 32]" in caught.value.expected
    assert "error in your network" not in str(caught.value)


def net(tmp_path: Path, factory: str, **fields: object) -> ModelChoice:
    (tmp_path / "net.py").write_text(CODE)
    return ModelChoice(name=f"{tmp_path}/net.py:{factory}", input_size=(32, 32), **fields)


def test_a_network_of_other_channels_tells_them_and_they_are_stated(tmp_path: Path):
    with pytest.raises(ModelError) as caught:
        resolve(net(tmp_path, "five"))
    assert "it takes 5 channel(s), and was given 3 and 1" in caught.value.hint
    assert "--set frame=5:uint8 (or gray, r,g,b,depth:float32)" in caught.value.hint
    assert "float32 [1, 3 or 1, 32, 32]" in caught.value.expected
    with pytest.raises(ModelError, match="5 channel") as caught:
        resolve(net(tmp_path, "five", preprocess={"frame": "gray"}))
    assert "was given 1: state" in caught.value.hint
    loaded = resolve(net(tmp_path, "five", preprocess={"frame": "r,g,b,nir,depth:uint16:4095"}))
    assert loaded.spec.input_shape == (5, 32, 32)
    assert loaded.spec.preprocess.frame == Frame(order="r,g,b,nir,depth", dtype="uint16", maximum=4095.0)
    assert not any("frames are" in note for note in loaded.notes)


def test_the_frame_is_that_of_the_data_if_the_network_takes_it(tmp_path: Path):
    wide, deep = Frame(order="gray", dtype="uint16"), Frame(order="r,g,b,depth", dtype="float32")
    loaded = resolve(net(tmp_path, "grey"), frame=wide)
    assert loaded.spec.preprocess.frame == wide and loaded.spec.preprocess.mean == (0.449,)
    assert "frames are gray:uint16 (order:dtype:maximum), as the network and the images tell" in str(
        loaded.notes
    )
    alone = resolve(net(tmp_path, "grey"), frame=deep)
    assert alone.spec.preprocess.frame == Frame(order="gray", dtype="float32")
    assert "frames are gray:float32 (" in str(alone.notes)
    stated = resolve(net(tmp_path, "grey", preprocess={"frame": {"order": "gray"}}), frame=wide)
    assert stated.spec.preprocess.frame == Frame(order="gray")


def test_an_error_behind_the_first_convolution_is_the_one_that_is_told(tmp_path: Path):
    with pytest.raises(ModelError, match="nothing") as caught:
        resolve(net(tmp_path, "broken_grey"))
    assert "float32 [1, 1, 32, 32]" in caught.value.expected
    assert "it was run on such an image" in caught.value.hint
