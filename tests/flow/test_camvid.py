"""Trained networks and third-party files of EDGESEG_DATA, all the way: mIoU, drops, output contracts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgeseg.core.bundle import Bundle
from edgeseg.core.recipe import Budget, DataChoice, ModelChoice, Recipe
from edgeseg.datasets import open_dataset
from edgeseg.evaluation.reference import fp32_reference
from edgeseg.evaluation.verify import verify
from edgeseg.flow.make import export
from edgeseg.runtime import load
from edgeseg.runtime.preprocess import preprocess

FLOAT_TARGETS = ("openvino-fp32", "openvino-bf16", "ort-fp32", "ort-fp16", "rtx-fp16", "trt-fp16")
MUNET_MIOU, EFFUNET_MIOU = 0.7111, 0.7044
"""PyTorch fp32 on CamVid val, from the README of the weights."""
POINT = 0.01


def exported(
    data: Path, model: ModelChoice, targets: tuple[str, ...], output: Path, **more
) -> dict[str, Bundle]:
    choice = more.pop("images", DataChoice(name="camvid", root=str(data / "camvid")))
    recipe = Recipe(schema_version=1, name="t", model=model, data=choice, targets=targets, **more)
    return {b.engine.target: b for b in export(recipe, Path.cwd(), output)}


@pytest.fixture(scope="module")
def munet(data, tmp_path_factory) -> dict[str, Bundle]:
    model = ModelChoice(name="mobile-unet", weights=str(data / "weights" / "munet_camvid.pt"))
    return exported(data, model, FLOAT_TARGETS, tmp_path_factory.mktemp("munet"))


@pytest.fixture(scope="module")
def seen() -> dict[tuple[str, bytes], tuple]:
    return {}


@pytest.fixture
def one_reference(monkeypatch, seen) -> None:
    """The class maps of one FP32 graph are computed once for all targets made of it."""

    def remembered(bundle: Bundle, threads: int | None = None, *, confidence: bool = False):
        graph = bundle.manifest.files[bundle.manifest.graph].sha256
        call = cache(lambda: fp32_reference(bundle, threads, confidence=confidence))

        def run(frames: np.ndarray) -> tuple:
            key = graph, frames.tobytes()
            if key not in seen:
                seen[key] = call()(frames)
            return seen[key]

        return run

    monkeypatch.setattr("edgeseg.evaluation.reference.fp32_reference", remembered)


def camvid(data: Path):
    return open_dataset("camvid", data / "camvid")


def test_all_float_targets_are_made(munet):
    assert {t: b.manifest.kind for t, b in munet.items()} == {
        **dict.fromkeys(FLOAT_TARGETS, "engine"),
        "trt-fp16": "deferred",
    }


def test_bf16_reproduces_the_reference_and_drops_at_most_a_tenth_of_a_point(munet, data, one_reference):
    found = verify(munet["openvino-bf16"].path, dataset=camvid(data), budget=Budget(max_drop=0.1))
    assert found.frames == 101
    assert found.fp32.value == pytest.approx(MUNET_MIOU, abs=0.1 * POINT)
    assert found.drop.value <= 0.1
    assert found.verdict.status == "pass"


def test_openvino_fp32_gives_the_class_maps_of_the_reference(munet, data, one_reference):
    found = verify(munet["openvino-fp32"].path, dataset=camvid(data))
    assert found.frames == 101
    assert found.agreement.equal > 0.9999
    assert abs(found.drop.value) <= 0.02


def test_fp16_drops_at_most_a_tenth_of_a_point(munet, data, one_reference):
    found = verify(munet["ort-fp16"].path, dataset=camvid(data))
    assert found.frames == 101
    assert found.drop.value <= 0.1


def test_eff_unet_reproduces_its_reference_on_all_of_val(data, tmp_path):
    model = ModelChoice(name="eff-unet", weights=str(data / "weights" / "effunet_camvid.pt"))
    made = exported(data, model, ("openvino-fp32",), tmp_path)
    found = verify(made["openvino-fp32"].path, dataset=camvid(data))
    assert found.engine.value == pytest.approx(EFFUNET_MIOU, abs=0.1 * POINT)


@pytest.mark.parametrize(
    ("file", "size", "fields", "output"),
    [
        ("u2netp", (320, 320), {}, "1959"),
        ("ch_PP-OCRv4_det_infer", (320, 480), {"mean": (0.5,) * 3, "std": (0.5,) * 3}, "sigmoid_0.tmp_0"),
    ],
)
def test_third_party_files_give_what_the_original_gives(data, tmp_path, file, size, fields, output):
    import onnxruntime as ort

    path = data / "onnx" / f"{file}.onnx"
    model = ModelChoice(
        name=str(path),
        input_size=size,
        preprocess={**fields, "resize": "stretch"},
        postprocess={"output": output},
    )
    images = DataChoice(name="pennfudan", root=str(data / "pennfudan"), validation="all")
    made = exported(data, model, FLOAT_TARGETS, tmp_path, images=images, camera_size=size)
    spec = made["ort-fp32"].manifest.model
    assert spec.postprocess.output == output
    assert spec.postprocess.activation == "sigmoid"

    with load(made["openvino-fp32"].path) as session:
        frame = np.load(session.bundle.file("golden.npz"))["frames"]
        found = session(frame)
    original = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = preprocess(frame, spec.preprocess, size)
    name = original.get_inputs()[0].name
    scores = np.concatenate([original.run([output], {name: one[None]})[0] for one in image])
    assert (found == (scores[:, 0] > 0.5)).mean() >= 0.999
