from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from edgeseg.core.bundle import file_sha256
from edgeseg.core.documents import encode
from edgeseg.core.model_spec import ClassInfo
from edgeseg.core.preprocess import Preprocess
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import CheckpointError, ModelError
from edgeseg.models import MODELS, family
from edgeseg.models.card import Card
from edgeseg.models.checkpoint import write_safetensors
from edgeseg.models.load import rebuild, resolve

INSTANCES = [name for name in MODELS.names() if family(name).instances]
MAPS = [name for name in MODELS.names() if name not in INSTANCES]


@pytest.mark.parametrize("name", MAPS)
def test_listed_parameters_stride_and_output_size_are_true(name: str):
    entry = family(name)
    network = entry.create(19, 3).eval()
    assert sum(p.numel() for p in network.parameters()) == entry.parameters
    assert network.encoder.output_stride == entry.stride
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 64, 96)).shape == (1, 19, 64, 96)


@pytest.mark.parametrize("channels", [1, 4, 5])
@pytest.mark.parametrize("name", MAPS)
def test_families_take_any_number_of_channels(name: str, channels: int):
    with torch.inference_mode():
        scores = family(name).create(3, channels).eval()(torch.zeros(1, channels, 32, 64))
    assert scores.shape == (1, 3, 32, 64)


def test_listing_needs_no_torch():
    code = "import sys; from edgeseg.flow.listing import models; models(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_eff_unet_with_swish_and_squeeze_excite():
    choice = ModelChoice(name="eff-unet", options={"encoder": "efficientnet-b0"}, input_size=(64, 64))
    loaded = resolve(choice)
    assert loaded.spec.source.options["encoder"] == "efficientnet-b0"
    kinds = {type(m).__name__ for m in loaded.module.modules()}
    assert "Swish" in kinds or "SiLU" in kinds


def test_without_weights_accuracy_is_meaningless_and_the_network_is_the_same_every_time():
    choice = ModelChoice(name="mobile-unet", options={"decoder_channels": "16,16,8,8,8"}, input_size=(64, 64))
    first, second = resolve(choice), resolve(choice)
    assert first.spec.weights is None
    assert "accuracy of this network is meaningless, its latency is not" in first.notes[0]
    assert len(first.spec.classes) == 19
    assert first.spec.source.options["decoder_channels"] == (16, 16, 8, 8, 8)
    for a, b in zip(first.module.state_dict().values(), second.module.state_dict().values()):
        assert torch.equal(a, b)


def test_a_rebuilt_network_gives_the_same_output(tmp_path: Path):
    choice = ModelChoice(
        name="mobile-unet", options={"decoder_channels": (16, 16, 8, 8, 8)}, input_size=(64, 64), classes=1
    )
    loaded = resolve(choice)
    assert [c.name for c in loaded.spec.classes] == ["background", "foreground"]
    write_safetensors(tmp_path / "w.safetensors", loaded.module)
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = loaded.module(image)
        assert expected.shape[1] == 1
        assert torch.equal(rebuild(loaded.spec, tmp_path / "w.safetensors")(image), expected)


def test_class_count_comes_from_the_weights(tmp_path: Path):
    file = tmp_path / "net.pt"
    options = {"decoder_channels": (8, 8, 8, 8, 8)}
    torch.save(family("mobile-unet").create(7, 3, **options).state_dict(), file)
    loaded = resolve(ModelChoice(name="mobile-unet", weights=str(file), options=options))
    assert len(loaded.spec.classes) == 7
    assert loaded.spec.weights is not None and loaded.spec.weights.file == "net.pt"
    with pytest.raises(CheckpointError, match="the checkpoint has 7 classes"):
        resolve(ModelChoice(name="mobile-unet", weights=str(file), options=options, classes=19))
    classes = tuple(ClassInfo(f"c{i}", (i, i, i)) for i in range(3))
    with pytest.raises(CheckpointError, match=r"the data\) says 3"):
        resolve(ModelChoice(name="mobile-unet", weights=str(file), options=options), classes=classes)


def test_weights_of_edgeseg_train_bring_their_settings(tmp_path: Path):
    options = {"encoder": "mobilenet_v2", "decoder_channels": (8, 8, 8, 8, 8)}
    file = tmp_path / "best.safetensors"
    write_safetensors(file, family("mobile-unet").create(2, 3, **options))
    card = Card(
        model="mobile-unet",
        options=options,
        sha256=file_sha256(file),
        classes=(ClassInfo("road", (1, 2, 3)), ClassInfo("rest", (4, 5, 6))),
        ignore_index=9,
        input_size=(64, 96),
        preprocess=Preprocess(color="bgr"),
        score=0.5,
    )
    (tmp_path / "best.json").write_bytes(encode(card))
    choice = ModelChoice(name="mobile-unet", weights=str(file))
    spec = resolve(choice).spec
    assert spec.source.options == options and spec.input_size == (64, 96)
    assert spec.classes == card.classes and spec.ignore_index == 9
    assert spec.preprocess.color == "bgr"
    (tmp_path / "best.json").write_bytes(encode(msgspec.structs.replace(card, sha256="0" * 64)))
    with pytest.raises(CheckpointError, match="does not fit the network"):
        resolve(choice)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (ModelChoice(name="mobile-unte"), "did you mean 'mobile-unet'"),
        (ModelChoice(name="unet", options={"encoder": "resnet35"}), "resnet34"),
        (ModelChoice(name="unet", options={"encoder": "tu-resnet19d"}), "there is no encoder"),
        (ModelChoice(name="mobile-unet", input_size=(500, 512)), "use --input-size 512x512"),
        (ModelChoice(name="demo", options={"encoder": "resnet34"}), "takes no options"),
        (
            ModelChoice(name="mobile-unet", options={"pretrained": True, "encoder_weights": "x"}),
            "give one of the two",
        ),
        (ModelChoice(name="mobile-unet", preprocess={"mean": "x"}), "preprocess"),
        (ModelChoice(name="mobile-unet", postprocess={"threshold": 2.0}), "threshold is 2.0"),
    ],
)
def test_bad_choices(choice: ModelChoice, message: str):
    with pytest.raises(ModelError) as caught:
        resolve(choice)
    assert message in str(caught.value)


def test_a_download_that_fails_says_how_to_do_without(monkeypatch: pytest.MonkeyPatch):
    import segmentation_models_pytorch as smp

    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(smp, "Unet", offline)
    with pytest.raises(ModelError, match="could not be downloaded") as caught:
        resolve(ModelChoice(name="mobile-unet", options={"pretrained": True}))
    assert "encoder_weights=FILE" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "file", "key"),
    [
        ("mobile-unet", "torchvision_mobilenet_v2_features.pth", "features.0.0.weight"),
        ("eff-unet", "timm_tf_efficientnet_lite0.pth", "model.conv_stem.weight"),
    ],
)
def test_encoder_weights_from_a_local_file(data: Path, name: str, file: str, key: str):
    path = data / "encoders" / file
    loaded = resolve(ModelChoice(name=name, options={"encoder_weights": str(path)}))
    stored = torch.load(path, weights_only=True)
    stored = stored.get("state_dict", stored)
    given = next(v for k, v in stored.items() if k.endswith(key.removeprefix("model.")))
    assert torch.equal(loaded.module.encoder.state_dict()[key], given)
    assert "only the encoder is trained" in loaded.notes[0]
    assert "encoder_weights" not in loaded.spec.source.options


def test_encoder_weights_of_another_encoder(data: Path):
    path = data / "encoders" / "timm_tf_efficientnet_lite0.pth"
    with pytest.raises(CheckpointError, match="does not fit the network"):
        resolve(ModelChoice(name="mobile-unet", options={"encoder_weights": str(path)}))


@pytest.mark.parametrize(
    ("name", "file", "least"),
    [("mobile-unet", "munet_camvid.pt", 0.88), ("eff-unet", "effunet_camvid.pt", 0.88)],
)
def test_trained_camvid_networks_load_strictly_and_see(data: Path, name: str, file: str, least: float):
    from PIL import Image

    from edgeseg.runtime.preprocess import preprocess
    from edgeseg.runtime.tasks import decided

    loaded = resolve(ModelChoice(name=name, weights=str(data / "weights" / file), input_size=(384, 480)))
    assert len(loaded.spec.classes) == 11 and loaded.notes == ()
    right = counted = 0
    for path in sorted((data / "camvid" / "val").iterdir())[:40:20]:
        frame = np.asarray(Image.open(path).convert("RGB"))
        label = np.asarray(Image.open(data / "camvid" / "valannot" / path.name))
        pixels = preprocess(frame[None], loaded.spec.preprocess, loaded.spec.input_size)
        with torch.inference_mode():
            scores = loaded.module(torch.from_numpy(pixels)).numpy()
        found = decided(scores, loaded.spec, loaded.spec.preprocess.place((360, 480), (384, 480)))[0]
        right += int(((found == label) & (label != 11)).sum())
        counted += int((label != 11).sum())
    assert right / counted > least
