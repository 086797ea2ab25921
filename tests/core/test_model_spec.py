from __future__ import annotations

import msgspec
import pytest

from edgeseg.core.model_spec import ModelSpec, Pruned, Source, default_classes
from edgeseg.errors import ModelError


def spec(height: int, width: int, stride: int) -> ModelSpec:
    return ModelSpec(
        name="net",
        source=Source(kind="zoo", ref="net"),
        input_size=(height, width),
        stride=stride,
        classes=default_classes(3),
    )


@pytest.mark.parametrize(
    ("size", "stride", "use"),
    [((360, 480), 32, "384x480"), ((1, 1), 16, "16x16"), ((513, 512), 32, "544x512"), ((0, 70), 32, "32x96")],
)
def test_an_input_that_does_not_divide_gets_the_size_to_use(size, stride, use):
    with pytest.raises(ModelError) as refusal:
        spec(*size, stride).check_input_size()
    assert f"{size[0]}x{size[1]}" in refusal.value.message
    assert refusal.value.expected == f"both sides divisible by {stride}"
    assert f"--input-size {use}" in refusal.value.hint


@pytest.mark.parametrize(("size", "stride"), [((384, 480), 32), ((7, 13), 1), ((32, 32), 32)])
def test_an_input_that_divides(size, stride):
    spec(*size, stride).check_input_size()


def test_default_classes_have_names_and_distinct_colours():
    classes = default_classes(64)
    assert classes[0].name == "class0" and classes[63].name == "class63"
    assert len({c.color for c in classes}) == 64
    assert classes[1].color == (128, 0, 0)


def test_it_survives_json():
    given = spec(64, 64, 32)
    assert msgspec.json.decode(msgspec.json.encode(given), type=ModelSpec) == given
    assert given.class_names == ("class0", "class1", "class2")


def test_pruned_channels_as_ranges():
    pruned = Pruned.of("conv1", [7, 0, 2, 1, 9, 8])
    assert pruned.channels == "0-2,7-9"
    assert pruned.indices() == (0, 1, 2, 7, 8, 9)


@pytest.mark.parametrize("text", ["", "a", "1-", "1,,2", "-1"])
def test_channels_that_are_no_ranges(text):
    with pytest.raises(ModelError, match="conv1"):
        Pruned("conv1", text).indices()
