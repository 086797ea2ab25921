"""The wheel: what is in it, and that it works without a clone, without torch, with the base packages only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest

MEGABYTES = 6


@pytest.fixture(scope="module")
def wheel(clone, run, tmp_path_factory) -> Path:
    """Built by the build backend itself: no network, no isolated environment."""
    folder = tmp_path_factory.mktemp("wheel")
    result = run("python", "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=clone)
    assert result.returncode == 0, result.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def base_python(wheel, tmp_path_factory) -> Path:
    """Python of an environment that holds the wheel, its base requirements and OpenVINO, and nothing else.

    The requirements are links to what is installed here, so that no network is needed.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
        metadata = archive.read(next(n for n in archive.namelist() if n.endswith("METADATA"))).decode()
    lines = re.findall(r"^Requires-Dist: (.+)$", metadata, flags=re.MULTILINE)
    for name in closure([*without_extras(lines), "openvino"]):
        link_into(packages, name)
    return python


def without_extras(lines: list[str]) -> list[str]:
    """Names of the requirements that need no extra and hold on this machine."""
    from packaging.requirements import Requirement

    parsed = [Requirement(line) for line in lines]
    return [r.name for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]


def closure(names: list[str]) -> set[str]:
    found: set[str] = set()
    while names:
        name = names.pop()
        if name not in found:
            found.add(name)
            names += without_extras(requires(name) or [])
    return found


def link_into(packages: Path, name: str) -> None:
    package = distribution(name)
    for top in {file.parts[0] for file in package.files or () if file.parts[0] not in ("..", "__pycache__")}:
        source, target = Path(str(package.locate_file(top))), packages / top
        if source.exists() and not target.exists():
            target.symlink_to(source)


def test_what_is_in_the_wheel(wheel, clone):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {re.sub(r"-[\d.]+\.dist-info", "-info", top) for top in tops} == {"edgeseg", "edgeseg-info"}
    recipes = {f"edgeseg/_data/recipes/{p.name}" for p in (clone / "recipes").glob("*.toml")}
    assert recipes and recipes <= set(names)
    lists = {f"edgeseg/_data/calibration/{p.relative_to(clone / 'calibration')}"
             for p in (clone / "calibration").rglob("*.txt")}  # fmt: skip
    assert lists and lists <= set(names)
    assert "edgeseg/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    kinds = {Path(name).suffix for name in names if name.startswith("edgeseg/")}
    assert kinds <= {".py", ".typed", ".toml", ".txt", ".md", ".json", ".safetensors"}


def test_the_wheel_is_small(wheel):
    assert wheel.stat().st_size < MEGABYTES * 10**6


def test_base_requirements_are_light(wheel):
    metadata = next(n for n in zipfile.ZipFile(wheel).namelist() if n.endswith("METADATA"))
    lines = re.findall(r"^Requires-Dist: (.+)$", zipfile.ZipFile(wheel).read(metadata).decode(), re.MULTILINE)
    base = {re.match(r"[\w-]+", line)[0] for line in lines if "extra ==" not in line}
    assert base == {"numpy", "msgspec", "typer", "rich", "pillow", "tomli"}


def test_the_installed_wheel_finds_its_recipes(base_python, tmp_path):
    result = call(base_python, "-m", "edgeseg", "plan", "no-such-recipe", cwd=tmp_path)
    assert result.returncode == 2
    assert "demo" in result.stderr
    code = "from edgeseg.flow import resources as s; print(s.recipes()['demo'], s.folder('calibration'))"
    recipe, lists = call(base_python, "-c", code, cwd=tmp_path).stdout.split()
    assert "site-packages" in recipe and Path(recipe).is_file()
    assert "site-packages" in lists and list(Path(lists).rglob("*.txt"))


def test_the_base_environment_of_these_tests_is_bare(base_python):
    for name in ("torch", "onnx", "onnxruntime", "timm", "cv2", "pytest"):
        assert call(base_python, "-c", f"import {name}").returncode == 1


@pytest.mark.parametrize("command", ["models", "targets", "doctor", "schema recipe", "schema manifest"])
def test_what_needs_no_training_package_runs_without_it(base_python, command, tmp_path):
    result = call(base_python, "-m", "edgeseg", *command.split(), cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_export_without_torch_names_the_extra(base_python, tmp_path):
    command = ("export", "--model", "unet", "--target", "openvino-fp32")
    result = call(base_python, "-m", "edgeseg", *command, cwd=tmp_path)
    assert result.returncode == 4
    assert 'pip install "edgeseg[train]"' in result.stderr
    assert not list(tmp_path.iterdir())


def test_base_install_and_openvino_predict_and_bench_a_bundle(base_python, demo_bundle, tmp_path):
    """What a device needs: the base packages and one engine."""
    code = (
        "import sys, numpy as np\n"
        "from edgeseg.runtime import load\n"
        "with load(sys.argv[1]) as session:\n"
        "    mask = session(np.full((*session.bundle.engine.camera_size, 3), 90, np.uint8))\n"
        "assert 'torch' not in sys.modules\n"
        "print(mask.shape, mask.dtype)"
    )
    bundle = shutil.copytree(demo_bundle("openvino-fp32"), tmp_path / "bundle")
    result = call(base_python, "-c", code, bundle, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "uint8" in result.stdout
    timed = call(base_python, "-m", "edgeseg.device", "bench", bundle, "--json", cwd=tmp_path)
    assert timed.returncode in (0, 3), timed.stderr
    assert '"device_samples_ms"' in timed.stdout
    checked = call(base_python, "-m", "edgeseg.device", "check", bundle, cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr


def call(python: Path, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [str(python), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
