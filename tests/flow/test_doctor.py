"""What the doctor tells about this machine, also when a backend file is broken."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest

from edgeseg.backends import BACKENDS
from edgeseg.device.describe import target_reports
from edgeseg.flow import doctor as subject
from edgeseg.flow.doctor import doctor, optional_packages


@pytest.fixture
def broken_backends(tmp_path, monkeypatch):
    """A package of backends: one good, the others broken in one way each."""
    folder = tmp_path / "odd_backends"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "syntax.py").write_text("NAMES = (")
    (folder / "importing.py").write_text('NAMES = ("torn",)\nraise OSError("libtorn.so is missing")\n')
    (folder / "raising.py").write_text(
        'NAMES = ("crash",)\n'
        "class Backend:\n"
        '    def targets(self): return ("crash-fp32",)\n'
        '    def availability(self, target): raise RuntimeError("no luck")\n'
        "def backend(name): return Backend()\n"
    )
    (folder / "zgood.py").write_text(
        "from edgeseg.backends.null import NullBackend\n"
        'NAMES = ("null",)\n'
        "def backend(name): return NullBackend()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(BACKENDS, "package", "odd_backends")
    yield
    for name in [n for n in sys.modules if n.startswith("odd_backends")]:
        del sys.modules[name]


def test_every_target_of_every_backend_file_is_reported():
    reports = {r.target: r for r in target_reports()}
    assert {name.split("-")[0] for name in reports} == set(BACKENDS.names())
    assert reports["null-fp32"].build and reports["null-fp32"].run


def test_what_cannot_run_says_why_and_what_to_do():
    for report in target_reports():
        if not report.run:
            assert report.reason and report.fix, report.target


def test_broken_backends_are_reported_and_the_others_still_work(broken_backends):
    reports = {r.target: r for r in target_reports()}
    assert "syntax.py is broken: SyntaxError" in reports["syntax"].reason
    assert "libtorn.so is missing" in reports["torn"].reason
    assert "RuntimeError: no luck" in reports["crash"].reason
    assert not reports["crash"].run and reports["crash"].fix
    assert reports["null-fp32"].run


def test_packages_come_from_the_metadata_with_the_extra_that_brings_them(monkeypatch):
    lines = ["numpy>=1.26", 'torch>=2.9; extra == "train"', "no-such-engine>=1 ; extra == 'rtx'"]
    lines += ['onnxruntime>=1.20; extra == "train"', 'pytest; extra == "dev"']
    lines += [
        'edgeseg[ort,train]; extra == "dev"',
        'onnxruntime>=1.20; python_version < "4" and extra == "ort"',
    ]
    monkeypatch.setattr(subject, "requires", lambda name: lines)
    packages = {p.name: p for p in optional_packages()}
    assert set(packages) == {"torch", "no-such-engine", "onnxruntime"}
    assert packages["onnxruntime"].extra == "ort", "the smaller of the two extras that bring it"
    assert packages["onnxruntime"].version == importlib.metadata.version("onnxruntime")
    assert not packages["no-such-engine"].version
    assert packages["no-such-engine"].fix == 'pip install "edgeseg[rtx]"'


def test_a_source_tree_without_metadata_has_no_package_list(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(subject, "requires", missing)
    assert optional_packages() == ()


def test_machine_is_described(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    machine = doctor().machine
    assert machine.python.startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert machine.environment.cores >= 1
    assert machine.memory_gb > 0.5
    assert machine.cache == str(tmp_path / "cache" / "edgeseg") and machine.cache_writable
    assert not (tmp_path / "cache").exists(), "looking leaves nothing behind"


def test_a_cache_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert not doctor().machine.cache_writable
