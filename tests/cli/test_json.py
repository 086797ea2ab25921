"""With --json standard output is one JSON document and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe
from edgeseg.datasets import open_dataset
from edgeseg.errors import MissingDevice

SMALL = ("--model", "demo", "--input-size", "64x64")
QUICK = ("--min-runs", "2", "--min-seconds", "0")
STREETS = ("--data", "synthetic-streets")
COMMANDS = {
    "train": (
        *SMALL,
        *STREETS,
        "--set",
        "resize=stretch",
        "--limit",
        "2",
        "--train",
        "steps=1",
        "--train",
        "batch=2",
    ),
    "export": (*SMALL, "--target", "ort-fp32", "--target", "trt-fp16"),
    "build": ("{bundle}", "-o", "built"),
    "bench": ("{bundle}", *QUICK),
    "bench --vs": ("{bundle}", "--vs", "{bundle}", *QUICK),
    "verify": ("{bundle}", *STREETS, "--limit", "1"),
    "predict": ("{bundle}", "images"),
    "inspect": ("{bundle}",),
    "inspect --profile": ("{bundle}", "--profile", "--layers"),
    "quantize": (*SMALL, "--target", "ort-int8", "--data", "images=images", "--no-plan", "-o", "int8"),
    "plan": ("small.toml",),
    "run": ("small.toml",),
    "models": (),
    "targets": (),
    "doctor": (),
    "calibrate select": ("--images", "images", "-n", "2", "-o", "list.txt"),
    "calibrate check": ("list.txt", "--images", "images"),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    from edgeseg.flow.make import export

    recipe = Recipe(
        schema_version=1,
        name="small",
        model=ModelChoice(name="demo", input_size=(64, 64)),
        data=DataChoice(name=""),
        targets=("ort-fp32",),
    )
    (made,) = export(recipe, Path.cwd(), tmp_path_factory.mktemp("bundles"))
    return made.path


@pytest.fixture
def document(edgeseg, bundle, small_recipe, tmp_path):
    """Run an entry of COMMANDS with --json, and read all of standard output as one document."""
    small_recipe("ort-fp32", "trt-fp16", limit=1)
    (tmp_path / "images").mkdir()
    streets = open_dataset("synthetic-streets").split("val")
    for index in range(2):
        Image.fromarray(streets.image(index)[:64, :64]).save(tmp_path / "images" / f"{index}.png")

    def call(entry: str):
        arguments = [text.format(bundle=bundle) for text in COMMANDS[entry]]
        words = [word for word in entry.split() if not word.startswith("--")]
        result = edgeseg(*words, *arguments, "--json")
        assert result.code in (0, 3), result.err
        return json.loads(result.out)

    return call


@pytest.mark.parametrize("entry", [c for c in COMMANDS if c != "calibrate check"])
def test_standard_output_is_one_document(document, entry):
    assert document(entry)


def test_a_list_that_is_checked(document):
    made = document("calibrate select")
    assert document("calibrate check")["images"] == len(made["ids"]) == 2


def test_every_command_with_json_is_tried():
    from edgeseg.cli.app import app

    def leaves(group, prefix=""):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from leaves(command, f"{name} ")
            elif any("--json" in option.opts for option in command.params):
                yield prefix + name

    tried = {" ".join(w for w in entry.split() if not w.startswith("--")) for entry in COMMANDS}
    assert set(leaves(typer.main.get_command(app))) == tried


@pytest.mark.parametrize("noun", ["recipe", "manifest", "train", "datasets", "steps"])
def test_schemas_are_json_without_asking(edgeseg, noun):
    result = edgeseg("schema", noun)
    assert result.code == 0 and json.loads(result.out)


def test_what_exports_and_verifications_say(document, bundle):
    made = {b["manifest"]["engine"]["target"]: b for b in document("export")}
    assert {t: b["manifest"]["kind"] for t, b in made.items()} == {
        "ort-fp32": "engine",
        "trt-fp16": "deferred",
    }
    assert Path(made["trt-fp16"]["path"]).name == "demo-trt-fp16"
    assert document("verify")["frames"] == 1
    assert np.isfinite(document("bench")["measurements"][0]["host"]["p50"])


def test_an_error_is_one_document_too(edgeseg):
    result = edgeseg("export", *SMALL, "--target", "ort-fp99", "--json")
    error = json.loads(result.out)["error"]
    assert result.code == error["exit_code"] == 2
    assert "fp99" in error["message"] and "bf16" in error["expected"] and "edgeseg targets" in error["hint"]
    assert result.err.startswith("error: ") and "fp99" in result.err
    plain = edgeseg("export", *SMALL, "--target", "ort-fp99")
    assert (plain.code, plain.out) == (2, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "--json"), "--model"),
        (("bench", "--json"), "BUNDLE"),
        (("bench", "x", "--min-runs", "0", "--json"), "--min-runs"),
        (("verify", "x", "--no-such", "--json"), "--no-such"),
        (("exprot", "--json"), "exprot"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_one_document_too(edgeseg, arguments, said):
    result = edgeseg(*arguments)
    error = json.loads(result.out)["error"]
    assert result.code == error["exit_code"] == 2
    assert said in error["message"] and said in result.err


def test_a_missing_device_is_one_document_with_its_code(edgeseg, monkeypatch):
    def absent(*_, **__):
        raise MissingDevice("no GPU", hint="attach one")

    monkeypatch.setattr("edgeseg.flow.build.build", absent)
    result = edgeseg("build", "x", "--json")
    expected = {"message": "no GPU", "expected": "", "hint": "attach one", "exit_code": 4}
    assert json.loads(result.out) == {"error": expected} and result.code == 4
