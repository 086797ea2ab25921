"""Names of bundles, networks, recipes and files stay where they belong."""

from __future__ import annotations

import msgspec
import pytest

from edgeseg.core.bundle import EngineRecord, FileEntry, FloatFallback, Golden, Manifest, StepRecord
from edgeseg.core.documents import convert
from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.names import NameRefused, require_file_name, require_name
from edgeseg.core.quantization import Quantization
from edgeseg.core.recipe import ModelChoice, Recipe
from edgeseg.errors import BundleError, InputError

LEADS_AWAY = (
    "..",
    "../../x",
    "/x",
    "a/../x",
    "a\\b",
    "a\0b",
    "a\nb",
    ".",
    ".hidden",
    "",
    "x" * 129,
    "\udcff",
)


@pytest.mark.parametrize("name", [*LEADS_AWAY, "a/b"])
def test_a_name_is_one_visible_part_of_a_path(name):
    with pytest.raises(NameRefused, match="the bundle name"):
        require_name(name, "the bundle name")


@pytest.mark.parametrize("name", ["demo", "u2netp (1)", "Straße v1.2", "a..b", "con", "x" * 128])
def test_usual_names_pass(name):
    require_name(name, "name")
    require_file_name(f"engine/{name}", "file")


@pytest.mark.parametrize("name", [*LEADS_AWAY, "engine/../../x", "engine//x", "engine/", "./x"])
def test_a_file_of_a_bundle_stays_in_its_folder(name):
    with pytest.raises(NameRefused):
        require_file_name(name, "file")


def spec(name: str = "net") -> ModelSpec:
    return ModelSpec(
        name=name, source=Source(kind="onnx", ref="n"), input_size=(8, 8), classes=default_classes(2)
    )


def manifest(**fields) -> Manifest:
    given = {"kind": "onnx", "name": "net", "model": spec(), "step": StepRecord(name="x"), **fields}
    return Manifest(**given)


OUT = "../../outside"


@pytest.mark.parametrize(
    "make",
    [
        lambda: spec(OUT),
        lambda: manifest(name=OUT),
        lambda: manifest(graph=OUT),
        lambda: manifest(weights=OUT),
        lambda: manifest(files={OUT: FileEntry(0, "")}),
        lambda: manifest(files={"": FileEntry(0, "")}),
        lambda: manifest(files={"manifest.json": FileEntry(0, "")}),
        lambda: EngineRecord(target="t", graph=OUT, camera_size=(8, 8)),
        lambda: EngineRecord(target="t", graph="g", entry=OUT, camera_size=(8, 8)),
        lambda: Golden(file=OUT),
        lambda: FloatFallback(graph=OUT, precisions=(), golden=None),
        lambda: Quantization(graph=OUT, scheme="openvino", plan={}, calibration=""),
        lambda: Quantization(graph="g", scheme="openvino", plan={}, calibration="", tables=OUT),
        lambda: Recipe(schema_version=1, name=OUT, model=ModelChoice(name="demo"), targets=()),
    ],
)
def test_every_name_that_becomes_a_path_is_checked(make):
    with pytest.raises(InputError):
        make()


def test_a_document_is_refused_with_the_name(tmp_path):
    data = msgspec.to_builtins(manifest()) | {"name": OUT}
    with pytest.raises(
        BundleError, match=r"manifest.json: the bundle name '../../outside' begins with a dot"
    ):
        convert(data, Manifest, where="manifest.json", error=BundleError)
