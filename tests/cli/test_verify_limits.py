"""Limits on the calibration error and on slices, from the export to the exit code."""

from __future__ import annotations

import json

import pytest

SMALL = ("--model", "demo", "--input-size", "64x64")
STREETS = ("--data", "synthetic-streets", "--limit", "3")


@pytest.fixture
def bundles(edgeseg, tmp_path):
    made = edgeseg("export", *SMALL, "--confidence", "--target", "ort-fp32", "--target", "openvino-bf16")
    assert made.code == 0, made.err
    return [tmp_path / "bundles" / f"demo-{target}" for target in ("ort-fp32", "openvino-bf16")]


def refused(edgeseg, *arguments):
    done = edgeseg(*arguments)
    assert (done.code, done.out) == (2, ""), done.err
    return done.err


def test_a_confidence_is_told_and_held_against_a_limit(edgeseg, bundles, tmp_path):
    for number, bundle in enumerate(bundles):
        folder = f"found{number}"
        missed = edgeseg("verify", bundle, *STREETS, "--max-calibration-error", "0", "-o", folder)
        assert missed.code == 1, missed.err
        assert "calibration error of the confidence" in missed.out and "the budget is 0" in missed.out
        found = json.loads((tmp_path / folder / "verify.json").read_text())
        error = found["calibration_error"]
        assert 0 < error["engine"] < 100 and error["rise"]["low"] <= error["rise"]["value"]
        assert error["rise"]["value"] == pytest.approx(error["engine"] - error["reference"])
        assert abs(error["rise"]["value"]) < 3 and set(found["class_calibration_error"]) >= {"road", "sky"}
        assert found["budget"]["max_calibration_error"] == 0
        kept = edgeseg("verify", bundle, *STREETS, "--max-calibration-error", "99")
        assert kept.code == 0 and f"calibration error {error['engine']:.2f} points" in kept.out


def test_a_limit_without_a_confidence_or_without_labels_is_refused(edgeseg, bundles, tmp_path):
    from PIL import Image

    assert edgeseg("export", *SMALL, "--target", "ort-fp32", "-o", "plain").code == 0
    said = refused(edgeseg, "verify", "plain/demo-ort-fp32", *STREETS, "--max-calibration-error", "5")
    assert "returns no confidence" in said and "--confidence" in said
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    said = refused(edgeseg, "verify", bundles[0], "--images", tmp_path, "--max-calibration-error", "5")
    assert "--max-calibration-error was given" in said and "no labels" in said
    for value in ("nan", "-1", "x"):
        said = refused(edgeseg, "verify", bundles[0], *STREETS, "--max-calibration-error", value)
        assert value in said


def test_a_limit_on_slices_names_the_slice_and_needs_tags(edgeseg, bundles, tmp_path):
    from edgeseg.datasets import open_dataset

    ids = open_dataset("synthetic-streets").split("val").ids[:3]
    rows = [f"{identity},{light}" for identity, light in zip(ids, ("night", "day", "day"), strict=True)]
    (tmp_path / "tags.csv").write_text("\n".join(["image,light", *rows]))
    slow = bundles[1]
    kept = edgeseg("verify", slow, *STREETS, "--tags", "tags.csv", "--max-drop-any-slice", "50")
    assert kept.code == 0 and "mIoU of light=night drops" in kept.out and "the budget is 50" in kept.out
    said = refused(edgeseg, "verify", slow, *STREETS, "--max-drop-any-slice", "50")
    assert "--max-drop-any-slice" in said and "--tags" in said
    slow.joinpath("deploy.onnx").write_bytes(b"not even read")
    assert "--tags" in refused(edgeseg, "verify", slow, *STREETS, "--max-drop-any-slice", "50")


def test_a_recipe_holds_its_engines_against_the_calibration_error(edgeseg, small_recipe, tmp_path):
    small_recipe("ort-fp32", limit=2)
    recipe = tmp_path / "small.toml"
    text = recipe.read_text().replace("bench = false", "bench = false\n{}") + "[budget]\n{}"
    recipe.write_text(text.format("", "max_calibration_error = 1"))
    assert "confidence = true" in refused(edgeseg, "run", recipe, "-o", "never")
    assert not (tmp_path / "never").exists()
    recipe.write_text(text.format("confidence = true", "any_slice = 1"))
    assert "--max-drop-any-slice" in refused(edgeseg, "run", recipe, "-o", "never")
    recipe.write_text(text.format("confidence = true", "max_calibration_error = 0"))
    assert edgeseg("run", recipe, "-o", "run").code == 1
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    row = next(row for row in report["rows"] if row["target"] == "ort-fp32")
    assert row["verification"]["calibration_error"]["engine"] > 0
    assert any(reason.startswith("calibration error ") for reason in row["verdict"]["reasons"])
