"""`edgeseg quantize` on a network of three layers."""

from __future__ import annotations

import json

import pytest

from edgeseg.core.bundle import Bundle
from edgeseg.core.documents import read_json
from edgeseg.quantization.planner.tables import PlannedPrecision

NET = """
import torch
from torch import nn

def net(classes=8):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, classes, 3, padding=1),
    )
"""
SMALL = ("--input-size", "48x64", "--camera-size", "48x64", "--calibration", "6", "--held-out", "4")


@pytest.fixture
def quantize(edgeseg, tmp_path, monkeypatch):
    """Run with the small network, on a few streets."""
    from edgeseg.datasets import synthetic

    (tmp_path / "net.py").write_text(NET)
    monkeypatch.setattr(synthetic, "COUNTS", {"train": 14, "val": 2, "calib": 6, "plan": 4})

    def run(*arguments, target="openvino-int8", data="synthetic-streets", small=SMALL):
        given = ("--model", "net.py:net", "--classes", data, "--target", target, "--data", data)
        return edgeseg("quantize", *given, *small, *arguments)

    return run


def made(tmp_path, target="openvino-int8"):
    bundle = Bundle.open(tmp_path / "bundles" / f"net-{target}")
    return bundle, read_json(bundle.file(bundle.manifest.quantization.tables), PlannedPrecision)


def test_an_engine_and_its_tables(quantize, edgeseg, tmp_path):
    pytest.importorskip("openvino")
    done = quantize("--budget-drop", "30", "--budget-class", "road=90")
    assert done.code == 0, done.err
    bundle, planned = made(tmp_path)
    assert bundle.manifest.kind == "engine" and planned.met and planned.latency == "measured"
    assert (
        planned.target == "openvino-int8"
        and planned.held_out == "4 images of synthetic-streets/train, each with an enlarged part"
    )
    assert planned.plan == bundle.manifest.quantization.plan and len(planned.plan) == 3
    assert planned.budget.max_class_drop == {"road": 90.0}
    for text in ("won ms", "x float", "chosen", "planned in", f"plan: {planned.verdict}"):
        assert text in done.out
    assert edgeseg("inspect", bundle.path, "--json").code == 0

    again = quantize("--budget-drop", "30", "--budget-class", "road=90", "--overwrite", "--json")
    (result,) = json.loads(again.out)
    assert result["planned"]["seconds"] == pytest.approx(planned.seconds)  # measured once, used again
    assert result["kind"] == "engine" and result["calibration"] == "6 images of synthetic-streets/train"


def test_without_the_device_the_plan_is_made_on_accuracy(quantize, tmp_path):
    done = quantize("--budget-drop", "30", target="trt-int8@orin")
    bundle, planned = made(tmp_path, "trt-int8-orin")
    assert done.code == 0 and bundle.manifest.kind == "deferred"
    assert planned.latency == "unmeasured" and "latency unmeasured" in done.out
    assert all(row.milliseconds is None for row in planned.plans)


@pytest.fixture
def pictures(tmp_path):
    from PIL import Image

    from edgeseg.datasets import open_dataset

    train = open_dataset("synthetic-streets").split("train")
    (tmp_path / "pictures").mkdir()
    for index in range(6):
        Image.fromarray(train.image(index)).save(tmp_path / "pictures" / f"{index}.png")
    return f"images={tmp_path / 'pictures'}"


def unlabelled(edgeseg, pictures, *arguments):
    given = ("--model", "net.py:net", "--target", "trt-int8", "--data", pictures)
    return edgeseg("quantize", *given, *SMALL, "--calibration", "3", *arguments)


def test_a_budget_that_cannot_be_met_saves_the_best_and_says_what_helps(
    quantize, edgeseg, pictures, tmp_path
):
    done = unlabelled(edgeseg, pictures, "--budget-drop", "0", "--ptq", "ranges=min-max")
    bundle, planned = made(tmp_path, "trt-int8")
    assert done.code == 1 and not planned.met and bundle.manifest.kind == "deferred"
    assert "budget missed: " in done.out and "what would help: quantisation-aware training" in done.out


def test_images_without_labels_compare_masks(quantize, edgeseg, pictures, tmp_path):
    done = unlabelled(edgeseg, pictures, "--budget-drop", "60")
    _, planned = made(tmp_path, "trt-int8")
    assert done.code == 0, done.err
    assert (
        not planned.labelled and planned.held_out == "3 images of pictures/images, each with an enlarged part"
    )
    assert "no labels: mIoU is the agreement with the masks of the FP32 network" in done.out


def test_a_class_that_the_network_does_not_have(quantize, edgeseg, pictures):
    done = unlabelled(edgeseg, pictures, "--budget-class", "road=1")
    assert done.code == 2 and "there is no class 'road'" in done.err


@pytest.mark.parametrize("limit", [("--budget-drop", "1"), ("--budget-class", "road=1")])
def test_a_budget_that_nothing_would_be_held_against_is_refused(quantize, limit):
    done = quantize("--no-plan", *limit, small=SMALL[:-2])
    assert done.code == 2 and f"a budget ({limit[1]}) was given with --no-plan" in done.err


def test_no_plan_is_all_int8(quantize, tmp_path):
    done = quantize("--no-plan", target="ort-int8", small=SMALL[:-2])
    bundle = Bundle.open(tmp_path / "bundles" / "net-ort-int8")
    assert done.code == 0 and "won ms" not in done.out
    assert (
        set(bundle.manifest.quantization.plan.values()) == {"int8"}
        and not bundle.manifest.quantization.tables
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--budget-class", "pedestrain=1"), "the budget names the class 'pedestrain'"),
        (("--budget-class", "car=much"), "--budget-class car=much"),
        (("--budget-class", "car=-1"), "expected 0 or more"),
        (("--target", "openvino-bf16"), "--target openvino-bf16 is not an int8 target"),
        (("--target", "abacus-int8"), "abacus"),
        (("--data", ""), "quantize got no data to calibrate with"),
        (("--calibration", "no.txt"), "the calibration list"),
        (("--held-out", "no.txt"), "the calibration list"),
        (("--held-out", "0"), "0 images were asked for"),
        (("--calibration", "14"), "no image of synthetic-streets/train is left to compare plans on"),
        (("--no-plan",), "--held-out was given with --no-plan"),
        (("--ptq", "ranges=best"), "ranges"),
        (("-o", "net.py"), "net.py"),
    ],
)
def test_bad_input(quantize, arguments, message):
    done = quantize(*arguments, target="trt-int8")
    assert done.code == 2 and message in done.err and "Traceback" not in done.err


def test_lists_that_share_images(quantize, edgeseg):
    assert edgeseg("calibrate", "select", "--data", "synthetic-streets", "-n", "3", "-o", "a.txt").code == 0
    done = quantize("--calibration", "a.txt", "--held-out", "a.txt", target="trt-int8")
    assert done.code == 2 and "3 image(s) of synthetic-streets/train are also in" in done.err
