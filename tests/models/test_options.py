from __future__ import annotations

from pathlib import Path

import pytest

from edgeseg.errors import ModelError
from edgeseg.models.options import checked, plain

DEFAULTS = {"encoder": "resnet34", "decoder_channels": (8, 4), "pretrained": False, "depth": 3}


def test_text_from_a_command_line_takes_the_type_of_the_default():
    given = {"decoder_channels": "96,48", "pretrained": "true", "depth": "4"}
    assert checked("unet", given, DEFAULTS) == {"decoder_channels": (96, 48), "pretrained": True, "depth": 4}


def test_lists_and_paths_become_what_json_holds():
    assert plain("a", [1, 2]) == (1, 2)
    assert plain("a", Path("x/y")) == "x/y"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("decoder_channels", "4,a"),
        ("decoder_channels", (4, 0)),
        ("pretrained", "maybe"),
        ("depth", 0),
        ("encoder", 3),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_default(option: str, value: object):
    with pytest.raises(ModelError, match=f"{option}=.*wrong type") as caught:
        checked("unet", {option: value}, DEFAULTS)
    assert "default" in caught.value.expected


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(ModelError, match="'encodr'") as caught:
        checked("unet", {"encodr": "x"}, DEFAULTS)
    assert "did you mean 'encoder'?" in caught.value.hint


def test_an_object_cannot_be_an_option():
    with pytest.raises(ModelError, match="cannot be recorded"):
        plain("a", object())
