from __future__ import annotations

import sys

import pytest

from edgeseg.core.plugins import PluginFolder, read_literal, unknown
from edgeseg.errors import ModelError, TargetError


@pytest.fixture
def folder(tmp_path, monkeypatch) -> PluginFolder:
    """Two plug-ins, one of which cannot be imported, and a helper."""
    package = tmp_path / "plugfolder"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "good.py").write_text('NAMES = ("mobile-unet", "eff-unet")\nVALUE = 7\n')
    (package / "broken.py").write_text('NAMES = ("heavy",)\nimport a_package_that_is_not_there\n')
    (package / "nameless.py").write_text("x = 1\n")
    (package / "_helper.py").write_text('NAMES = ("hidden",)\n')
    monkeypatch.syspath_prepend(tmp_path)
    yield PluginFolder("plugfolder", "model", listing="edgeseg models", error=ModelError)
    for name in [m for m in sys.modules if m.partition(".")[0] == "plugfolder"]:
        del sys.modules[name]


def test_names_are_read_without_importing(folder):
    assert folder.names() == ("heavy", "mobile-unet", "eff-unet")
    assert not [m for m in sys.modules if m.startswith("plugfolder.")]


def test_only_the_file_that_is_used_is_imported(folder):
    assert folder.load("eff-unet").VALUE == 7
    assert "plugfolder.broken" not in sys.modules


def test_a_plugin_whose_package_is_missing_says_so(folder):
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        folder.load("heavy")


def test_an_unknown_name_suggests_the_nearest(folder):
    with pytest.raises(ModelError, match="there is no model 'mobil-unet'") as refusal:
        folder.load("mobil-unet")
    assert "did you mean 'mobile-unet'?" in refusal.value.hint and "edgeseg models" in refusal.value.hint
    assert refusal.value.expected == "one of heavy, mobile-unet, eff-unet"


def test_a_far_name_suggests_nothing():
    error = unknown("zzz", ("trt", "ort"), noun="engine", listing="edgeseg targets", error=TargetError)
    assert isinstance(error, TargetError)
    assert "did you mean" not in str(error) and "trt, ort" in str(error)


def test_helpers_are_not_plugins(folder):
    with pytest.raises(ModelError):
        folder.load("hidden")


def test_names_must_be_literal(tmp_path):
    (tmp_path / "x.py").write_text("NAMES = tuple(compute())\n")
    with pytest.raises(ValueError, match="malformed"):
        read_literal(tmp_path / "x.py", "NAMES")
