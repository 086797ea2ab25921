from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import edgeseg

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def package() -> Path:
    """The folder `edgeseg/`."""
    return Path(edgeseg.__file__).parent


@pytest.fixture(scope="session")
def clone(package: Path) -> Path:
    """The root of the project."""
    root = package.parent
    if not (root / "pyproject.toml").is_file():
        pytest.skip("edgeseg is not imported from a clone")
    return root


@pytest.fixture(scope="session")
def run() -> Run:
    """`run("python", "-m", ...)` in a process of its own; `python` and `edgeseg` are of this environment."""

    def call(*arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None):
        words = [str(argument) for argument in arguments]
        start = {"python": [sys.executable], "edgeseg": [sys.executable, "-m", "edgeseg"]}
        command = start.get(words[0], words[:1]) + words[1:]
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)

    return call


@pytest.fixture(scope="session")
def demo_bundle(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Target -> an engine bundle of the demo network, made by the command line."""
    made: dict[str, Path] = {}

    def make(target: str) -> Path:
        if target not in made:
            folder = tmp_path_factory.mktemp("bundles")
            result = run("edgeseg", "export", "--model", "demo", "--target", target, "-o", folder)
            assert result.returncode == 0, result.stderr
            made[target] = next(folder.glob("*/manifest.json")).parent
        return made[target]

    return make
