"""A user's Mask R-CNN of torchvision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgeseg.core.model_spec import ClassInfo
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import CheckpointError, ModelError
from edgeseg.models.checkpoint import write_safetensors
from edgeseg.models.load import rebuild, resolve

CODE = """
import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads


def backbone(channels=3):
    widths = (channels, 8, 16, 24)
    layers = [nn.Sequential(nn.Conv2d(a, b, 3, 4 if a == channels else 2, 1), nn.BatchNorm2d(b), nn.ReLU())
              for a, b in zip(widths, widths[1:])]
    return BackboneWithFPN(nn.Sequential(*layers), {"0": "0", "1": "1", "2": "2"}, [8, 16, 24], 16)


def build(num_classes, channels=3, **options):
    anchors = AnchorGenerator(((16,), (32,), (64,), (128,)), ((0.5, 1.0, 2.0),) * 4)
    few = {"rpn_pre_nms_top_n_test": 50, "rpn_post_nms_top_n_test": 30, "box_detections_per_img": 9}
    return MaskRCNN(backbone(channels), num_classes, rpn_anchor_generator=anchors, min_size=64, max_size=96,
                    **few, **options)


def create():
    return build(3, image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.2, 0.1])


def second():
    norm = nn.BatchNorm2d
    return build(4, box_head=FastRCNNConvFCHead((16, 7, 7), [16, 16], [1024], norm_layer=norm),
                 mask_head=MaskRCNNHeads(16, [16, 256], 1, norm_layer=norm))


def coco():
    return build(91)


def counted(classes):
    return build(classes)


def fixed():
    return build(3, channels=2, image_mean=[0.1] * 2, image_std=[0.2] * 2, fixed_size=(96, 64))


class Broken(nn.Module):
    out_channels = 8

    def forward(self, image):
        raise ValueError("no such layer")


def broken():
    return MaskRCNN(Broken(), 3)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(CODE)
    return path


def outputs(module, size=(64, 96), channels=3):
    torch.manual_seed(0)
    with torch.inference_mode():
        return module(torch.randn(1, channels, *size))


def test_it_is_fed_as_its_transform_says_and_returns_the_outputs_of_the_contract(file: Path):
    loaded = resolve(ModelChoice(name=f"{file}:create"))
    spec = loaded.spec
    assert (spec.task, spec.input_size, len(spec.classes)) == ("instance", (64, 96), 2)
    assert spec.preprocess.mean == (0.5, 0.4, 0.3) and spec.preprocess.std == (0.2, 0.2, 0.1)
    assert spec.preprocess.scale == pytest.approx(1 / 255)
    assert (spec.preprocess.resize, spec.preprocess.anchor, spec.preprocess.pad_value) == (
        "letterbox",
        "top-left",
        0.0,
    )
    made = spec.postprocess.instances
    assert made is not None
    assert (made.kept, made.mask_size, made.score_threshold, made.nms_threshold) == (9, (28, 28), 0.05, 0.5)
    found = outputs(loaded.module)
    assert found["boxes"].shape == (1, 9, 4) and found["labels"].dtype == torch.int32


@pytest.mark.parametrize("factory", ["create", "second"])
def test_a_checkpoint_without_prefix_is_read_and_a_rebuilt_network_is_the_same(file: Path, factory: str):
    choice = ModelChoice(name=f"{file}:{factory}")
    torch.manual_seed(7)
    other = resolve(choice).module.network
    for weight in other.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    torch.save({"model": other.state_dict()}, file.with_name("net.pth"))
    chosen = ModelChoice(name=f"{file}:{factory}", weights=str(file.with_name("net.pth")))
    loaded = resolve(chosen)
    assert loaded.spec.weights is not None
    assert torch.equal(loaded.module.network.rpn.head.bbox_pred.weight, other.rpn.head.bbox_pred.weight)
    write_safetensors(file.with_name("w.safetensors"), loaded.module)
    with pytest.raises(ModelError, match="which the bundle cannot carry"):
        rebuild(loaded.spec, file.with_name("w.safetensors"))
    again = rebuild(loaded.spec, file.with_name("w.safetensors"), trusted=chosen)
    expected, found = outputs(loaded.module), outputs(again)
    assert all(torch.equal(found[name], values) for name, values in expected.items())
    if factory == "create":
        with pytest.raises(CheckpointError, match="does not fit"):
            resolve(ModelChoice(name=f"{file}:second", weights=chosen.weights))


def test_coco_has_ninety_classes_of_which_some_have_no_name(file: Path):
    names = resolve(ModelChoice(name=f"{file}:coco")).spec.class_names
    assert (len(names), names[0], names[11], names[89]) == (90, "person", "class11", "toothbrush")
    assert len(set(names)) == 90


def test_names_of_coco_take_the_other_ids_out(file: Path):
    every = resolve(ModelChoice(name=f"{file}:coco"))
    names = sorted(name for name in every.spec.class_names if not name.startswith("class"))
    assert len(names) == 80
    classes = tuple(ClassInfo(name, (1, 2, 3)) for name in names)
    choice = ModelChoice(name=f"{file}:coco")
    loaded = resolve(choice, classes=classes)
    assert loaded.spec.classes == classes and any("stand for nothing" in note for note in loaded.notes)
    before, after = (one.module.network.roi_heads for one in (every, loaded))
    old, new = 1 + every.spec.class_names.index("zebra"), 1 + names.index("zebra")
    for one in ("cls_score", "bbox_pred"):
        each = (-1, 4 if one == "bbox_pred" else 1)
        rows = [getattr(heads.box_predictor, one).bias.unflatten(0, each) for heads in (before, after)]
        assert torch.equal(rows[0][old], rows[1][new]) and torch.equal(rows[0][0], rows[1][0])
    write_safetensors(file.with_name("w.safetensors"), loaded.module)
    again = rebuild(loaded.spec, file.with_name("w.safetensors"), trusted=choice)
    expected, found = outputs(loaded.module), outputs(again)
    assert all(torch.equal(found[name], values) for name, values in expected.items())
    some = classes[:3]
    with pytest.raises(ModelError, match=r"has 90 class\(es\) beside the background, .* says 3"):
        resolve(choice, classes=some)


def test_a_size_of_the_user_and_one_that_is_fixed(file: Path):
    loaded = resolve(
        ModelChoice(name=f"{file}:create", input_size=(40, 50), preprocess={"resize": "stretch"})
    )
    assert loaded.spec.input_size == (40, 50) and loaded.spec.preprocess.resize == "stretch"
    assert any(
        "a shorter side of 64 pixels, of 96 at most; here they are laid into 40x50" in n for n in loaded.notes
    )
    assert outputs(loaded.module, (40, 50))["boxes"].shape == (1, 9, 4)
    fixed = resolve(ModelChoice(name=f"{file}:fixed")).spec
    assert (fixed.input_size, fixed.preprocess.resize) == ((64, 96), "stretch")
    assert fixed.preprocess.channels == 2 and fixed.preprocess.mean == (0.1, 0.1)


def test_classes_are_counted_without_the_background(file: Path):
    names = (ClassInfo("cat", (1, 2, 3)), ClassInfo("dog", (3, 2, 1)))
    assert resolve(ModelChoice(name=f"{file}:create"), classes=names).spec.classes == names
    with pytest.raises(ModelError, match=r"'net' has 2 class\(es\) beside the background, --classes .* 3"):
        resolve(ModelChoice(name=f"{file}:create", classes=3))
    with pytest.raises(ModelError, match="knows 0 class beside the background"):
        resolve(ModelChoice(name=f"{file}:counted", classes=1))


@pytest.mark.parametrize(
    ("factory", "fields", "message"),
    [
        (
            "create",
            {"task": "semantic"},
            "the task semantic is stated, and 'net' is a network of inst",
        ),
        ("create", {"preprocess": {"frame": "gray"}}, "normalises 3 channel"),
        ("broken", {}, "ValueError: no such layer"),
    ],
)
def test_what_does_not_fit_is_refused(file: Path, factory: str, fields, message: str):
    with pytest.raises(ModelError, match=message):
        resolve(ModelChoice(name=f"{file}:{factory}", **fields))
