from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgeseg.core.model_spec import ClassInfo
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import ModelError
from edgeseg.models import MODELS, family
from edgeseg.models.checkpoint import write_safetensors
from edgeseg.models.load import rebuild, resolve

NAMES = [name for name in MODELS.names() if family(name).instances]
SMALL = {"fpn_channels": 16, "box_channels": 32, "mask_channels": "16", "proposals": 20, "detections": 5}


def small(name: str = "maskrcnn-mobilenet", **fields):
    options = {**SMALL, **fields.pop("options", {})}
    return ModelChoice(name=name, input_size=(64, 96), options=options, **fields)


@pytest.mark.parametrize("name", NAMES)
def test_listed_parameters_are_true_and_outputs_are_those_of_the_contract(name: str):
    entry = family(name)
    network = entry.network(19, 3, (64, 96), entry.options).eval()
    assert sum(p.numel() for p in network.parameters()) == entry.parameters
    with torch.inference_mode():
        found = network(torch.zeros(2, 3, 64, 96))
    assert {name: (values.dtype, tuple(values.shape)) for name, values in found.items()} == {
        "boxes": (torch.float32, (2, 32, 4)),
        "scores": (torch.float32, (2, 32)),
        "labels": (torch.int32, (2, 32)),
        "masks": (torch.float32, (2, 32, 28, 28)),
        "count": (torch.int32, (2,)),
        "unsettled": (torch.int32, (2,)),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_rebuilt_network_is_the_same_for_one_class_and_two_channels(name: str, tmp_path: Path):
    choice = small(name, classes=1, preprocess={"frame": "a,b:float32"}, postprocess={"threshold": 0.7})
    loaded = resolve(choice)
    spec = loaded.spec
    assert (spec.task, len(spec.classes), spec.preprocess.channels) == ("instance", 1, 2)
    assert spec.classes[0].color != (0, 0, 0)
    assert spec.postprocess.threshold == 0.7 and spec.postprocess.instances is not None
    assert (spec.postprocess.instances.kept, spec.postprocess.instances.mask_size) == (5, (28, 28))
    write_safetensors(tmp_path / "w.safetensors", loaded.module)
    image = torch.rand(1, 2, 64, 96)
    with torch.inference_mode():
        expected = loaded.module(image)
        found = rebuild(spec, tmp_path / "w.safetensors")(image)
    assert all(torch.equal(found[name], values) for name, values in expected.items())


def test_classes_come_from_the_data_or_the_weights(tmp_path: Path):
    person, car = ClassInfo("person", (1, 2, 3)), ClassInfo("car", (4, 5, 6))
    loaded = resolve(small(), classes=(person, car))
    assert loaded.spec.classes == (person, car)
    # Keys as torchvision's own network has them.
    torch.save(loaded.module.network.state_dict(), tmp_path / "net.pt")
    again = resolve(small(weights=str(tmp_path / "net.pt")))
    assert len(again.spec.classes) == 2
    for name, values in loaded.module.state_dict().items():
        assert torch.equal(again.module.state_dict()[name], values)


def test_trained_encoders_begin_a_network(data: Path):
    file = data / "encoders" / "torchvision_mobilenet_v2_features.pth"
    loaded = resolve(small(options={"encoder_weights": str(file)}))
    assert "only the encoder is trained" in loaded.notes[0]
    trained = torch.load(file, weights_only=True)["features.17.conv.2.weight"]
    assert torch.equal(loaded.module.encoder["17"].conv[2].weight, trained)
    gray = resolve(small(options={"encoder_weights": str(file)}, preprocess={"frame": "gray"}))
    assert gray.module.encoder["0"][0].weight.shape == (32, 1, 3, 3)
    assert any("gray got the average of r, g, b" in note for note in gray.notes)


def test_a_finer_pyramid():
    module = resolve(small(options={"finest_stride": 4, "anchors": "8,16,32,64,128"})).module
    assert module.network.backbone.fpn(module.encoder(torch.zeros(1, 3, 64, 96)))["0"].shape[2:] == (16, 24)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "semantic"}, "the task semantic is stated, and 'maskrcnn-mobilenet' is a network of inst"),
        ({"options": {"finest_stride": 4}}, "finest_stride=4 with 4 anchors"),
        ({"options": {"score_threshold": "much"}}, "score_threshold='much' .* has the wrong type"),
        ({"options": {"nms_threshold": 1.5}}, "nms_threshold=1.5"),
    ],
)
def test_what_does_not_fit_is_refused(fields, message: str):
    with pytest.raises(ModelError, match=message):
        resolve(small(**fields))
