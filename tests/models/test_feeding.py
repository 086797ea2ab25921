"""Networks that do not take what edgeseg feeds them, and what the error says to do."""

from __future__ import annotations

from pathlib import Path

import pytest

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

def grey():
    return nn.Conv2d(1, 2, 1)

def half():
    return nn.Conv2d(3, 2, 1).half()

def double():
    return nn.Conv2d(3, 2, 1).double()

two, none, wrong = Two, None_, Wrong
"""


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("grey", "it takes 1 channel(s), and a camera gives 3"),
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
