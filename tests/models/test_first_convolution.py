"""Weights for other channels than those they were trained on. Right values are worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.preprocess import Preprocess
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import CheckpointError
from edgeseg.models import family
from edgeseg.models.checkpoint import write_safetensors
from edgeseg.models.first_convolution import adapted, first_convolution, fitted
from edgeseg.models.load import rebuild, resolve

RGB = ("r", "g", "b")
SMALL = {"decoder_channels": (8, 8, 8, 8, 8)}
SIZE = (32, 32)


@pytest.mark.parametrize(
    ("source", "weights", "target", "expected"),
    [
        (RGB, (1.0, 2.0, 6.0), ("gray",), (9.0,)),
        (RGB, (1.0, 2.0, 6.0), ("r", "g", "b", "depth"), (0.75, 1.5, 4.5, 2.25)),
        (RGB, (1.0, 2.0, 6.0), ("nir", "b", "g", "r"), (2.25, 4.5, 1.5, 0.75)),
        (RGB, (1.0, 2.0, 6.0), Frame(order="5").names, (1.8,) * 5),
        (RGB, (1.0, 2.0, 6.0), ("r", "nir"), (3.0, 6.0)),
        (("b", "g", "r"), (1.0, 2.0, 6.0), ("r", "g", "b", "nir"), (4.5, 1.5, 0.75, 2.25)),
        (("gray",), (6.0,), RGB, (2.0, 2.0, 2.0)),
        (("gray",), (6.0,), ("gray", "depth"), (3.0, 3.0)),
        (("r", "g", "b", "depth"), (1.0, 2.0, 6.0, 50.0), ("gray",), (9.0,)),
        (("r", "g", "b", "depth"), (1.0, 2.0, 6.0, 50.0), RGB, (1.0, 2.0, 6.0)),
    ],
)
def test_weights_by_name_average_and_sum(source, weights, target, expected):
    kernel = torch.tensor(weights).reshape(1, -1, 1, 1) * torch.tensor([1.0, -2.0]).reshape(2, 1, 1, 1)
    result = adapted(kernel, source, target)
    assert result.shape == (2, len(target), 1, 1)
    assert torch.allclose(result[0].flatten(), torch.tensor(expected))
    assert torch.allclose(result[1], -2.0 * result[0])
    assert torch.equal(adapted(kernel.half(), source, target), result), "float16 is not rounded again"


def test_what_all_channels_show_gives_what_it_gave():
    torch.manual_seed(0)
    kernel, shown = torch.randn(8, 3, 3, 3), torch.randn(1, 1, 9, 9)
    before = nn.functional.conv2d(shown.expand(1, 3, 9, 9), kernel)
    for names in (("gray",), ("r", "g", "b", "depth"), ("g", "nir"), Frame(order="13").names):
        now = nn.functional.conv2d(shown.expand(1, len(names), 9, 9), adapted(kernel, RGB, names))
        assert torch.allclose(now, before, atol=1e-4)


def test_the_first_convolution_alone_is_adapted():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1))
    assert first_convolution(network, 1) == "0.weight"
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)).state_dict()
    state, notes = fitted(network, other, Preprocess(frame=Frame(order="gray")))
    assert torch.allclose(state["0.weight"], other["0.weight"].sum(1, keepdim=True))
    assert state["1.weight"] is other["1.weight"] and len(notes) == 1
    for wrong in (nn.Conv2d(3, 5, 3), nn.Conv2d(3, 4, 1), nn.Linear(3, 4)):
        unfit = {"0.weight": wrong.weight}
        assert fitted(network, unfit, Preprocess(frame=Frame(order="gray"))) == (unfit, ())


def test_the_demo_on_stated_frames():
    plain = next(resolve(ModelChoice(name="demo")).module.parameters())
    loaded = resolve(ModelChoice(name="demo", preprocess={"frame": "gray:uint16"}))
    kernel = next(loaded.module.parameters())
    assert torch.allclose(kernel, plain.sum(1, keepdim=True), atol=1e-6)
    assert loaded.spec.input_shape == (1, 256, 320) and "average of r, g, b" in str(loaded.notes)
    held = resolve(ModelChoice(name="demo"), frame=Frame(order="gray"))
    assert held.spec.preprocess.frame == Frame() and held.notes == ()


@pytest.fixture
def five(tmp_path: Path) -> ModelChoice:
    """A checkpoint that takes five channels, without a card."""
    torch.manual_seed(0)
    torch.save(family("mobile-unet").create(2, 5, **SMALL).state_dict(), tmp_path / "five.pt")
    return ModelChoice(name="mobile-unet", weights=str(tmp_path / "five.pt"), options=SMALL, input_size=SIZE)


def test_frames_are_those_of_the_checkpoint_unless_stated(five: ModelChoice, tmp_path: Path):
    held = Frame(order="r,g,b,nir,depth", dtype="float32")
    for frame, found in ((None, Frame(order="5")), (Frame(), Frame(order="5")), (held, held)):
        loaded = resolve(five, frame=frame)
        assert loaded.spec.preprocess.frame == found and "frames are" in str(loaded.notes)
    write_safetensors(tmp_path / "w.safetensors", loaded.module)
    again, image = rebuild(loaded.spec, tmp_path / "w.safetensors"), torch.rand(1, 5, *SIZE)
    assert torch.equal(again(image), loaded.module(image))
    stated = ModelChoice(
        name="mobile-unet", weights=five.weights, options=SMALL, input_size=SIZE, preprocess={"frame": "gray"}
    )
    first, second = (next(resolve(choice).module.parameters()) for choice in (five, stated))
    assert torch.allclose(second, first.sum(1, keepdim=True), atol=1e-6)


def test_random_weights_follow_the_data():
    choice = ModelChoice(name="mobile-unet", options=SMALL, input_size=SIZE)
    loaded = resolve(choice, frame=Frame(order="gray", dtype="uint16"))
    assert loaded.spec.input_shape == (1, *SIZE)
    assert "frames are gray:uint16 (order:dtype:maximum)" in str(loaded.notes)


def encoder(tmp_path: Path, channels: int) -> tuple[ModelChoice, torch.Tensor]:
    torch.manual_seed(1)
    state = family("mobile-unet").create(2, channels, **SMALL).encoder.state_dict()
    torch.save(state, tmp_path / "encoder.pt")
    options = {**SMALL, "encoder_weights": str(tmp_path / "encoder.pt")}
    return ModelChoice(name="mobile-unet", options=options, input_size=SIZE), state["features.0.0.weight"]


def spec_and_kernel(choice: ModelChoice, frame: Frame) -> tuple[ModelSpec, torch.Tensor, str]:
    loaded = resolve(choice, frame=frame)
    return loaded.spec, loaded.module.encoder.features[0][0].weight, str(loaded.notes)


def test_a_trained_encoder_is_adapted_to_the_data(tmp_path: Path):
    choice, kernel = encoder(tmp_path, 3)
    spec, found, notes = spec_and_kernel(choice, Frame(order="gray"))
    assert spec.input_shape == (1, *SIZE) and "average of r, g, b" in notes
    assert torch.allclose(found, kernel.sum(1, keepdim=True), atol=1e-6)
    _, found, _ = spec_and_kernel(choice, Frame(order="b,g,r,nir"))
    parts = [kernel[:, 0], kernel[:, 1], kernel[:, 2], kernel.mean(1)]
    assert torch.allclose(found, 0.75 * torch.stack(parts, 1), atol=1e-6)


def test_an_encoder_of_as_many_channels_is_taken_as_it_is(tmp_path: Path):
    choice, kernel = encoder(tmp_path, 4)
    _, found, notes = spec_and_kernel(choice, Frame(order="r,g,b,nir"))
    assert torch.equal(found, kernel) and "average" not in notes


def test_pretrained_weights_are_adapted_by_the_same_rule(monkeypatch: pytest.MonkeyPatch):
    import segmentation_models_pytorch as smp

    class Downloaded(smp.Unet):
        def __init__(self, encoder, *, encoder_weights, **rest):
            super().__init__(encoder, encoder_weights=None, **rest)
            if encoder_weights == "imagenet":
                assert rest["in_channels"] == 3
                nn.init.constant_(self.encoder.features[0][0].weight, 2.0)

    monkeypatch.setattr(smp, "Unet", Downloaded)
    choice = ModelChoice(
        name="mobile-unet", options={**SMALL, "pretrained": True}, input_size=SIZE, preprocess={"frame": "6"}
    )
    _, found, notes = spec_and_kernel(choice, Frame())
    assert torch.equal(found, torch.full_like(found, 1.0)) and found.shape[1] == 6
    assert "only the encoder is trained" in notes


def test_what_else_does_not_fit_stays_an_error(five: ModelChoice):
    other = {**SMALL, "encoder": "resnet18"}
    choice = ModelChoice(
        name="mobile-unet", weights=five.weights, options=other, input_size=SIZE, preprocess={"frame": "gray"}
    )
    with pytest.raises(CheckpointError, match="does not fit the network"):
        resolve(choice)
