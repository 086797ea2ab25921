"""A disk that is really full: the operating system refuses the write, nothing is pretended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = ("--model", "demo", "--input-size", "64x64", "--target", "ort-fp32")
LIMITED = """
import resource, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from edgeseg.cli import main
main()
"""
TOO_LITTLE = 1 << 20
"""Less than the weights of the demo network, and than its graph."""


def export(folder: Path, output: str, *, limit: int | None = None, cache: Path | None = None):
    """`edgeseg export` in a process of its own. `limit`: bytes that a file may have (RLIMIT_FSIZE)."""
    start = ["-m", "edgeseg"] if limit is None else ["-c", LIMITED, str(limit)]
    return subprocess.run(
        [sys.executable, *start, "export", *SMALL, "-o", output],
        cwd=folder,
        env={**os.environ, **({"XDG_CACHE_HOME": str(cache)} if cache else {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def assert_refused(done, reason: str, place: str) -> None:
    """One error that names the folder and the reason, exit 2."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    (line,) = (text for text in done.stderr.splitlines() if text.startswith("error: "))
    assert place in line and reason in line
    assert "to fix: free space" in done.stderr


def files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


@pytest.fixture(scope="module")
def steps_in_cache(tmp_path_factory) -> None:
    """Later exports write nothing but the engine bundle."""
    done = export(tmp_path_factory.mktemp("first"), "out")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def disk(tmp_path):
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.usefixtures("steps_in_cache")
def test_files_that_may_not_grow_in_the_output(tmp_path):
    assert_refused(export(tmp_path, "out", limit=TOO_LITTLE), "File too large", "out/demo-ort-fp32")
    assert files(tmp_path) == []


@pytest.mark.parametrize("limit", [1000, TOO_LITTLE])
def test_files_that_may_not_grow_in_the_cache(tmp_path, limit):
    done = export(tmp_path, "out", limit=limit, cache=tmp_path / "cache")
    assert_refused(done, "File too large", str(tmp_path / "cache" / "edgeseg"))
    assert files(tmp_path) == []


@pytest.mark.usefixtures("steps_in_cache")
def test_a_full_disk_under_the_output_and_again_with_space(tmp_path, disk):
    assert_refused(export(tmp_path, "disk/out"), "No space left on device", "disk/out/demo-ort-fp32")
    assert files(disk) == []
    done = export(tmp_path, "out")
    assert done.returncode == 0, done.stderr


def test_a_full_disk_under_the_cache(tmp_path, disk):
    done = export(tmp_path, "out", cache=disk)
    assert_refused(done, "No space left on device", str(disk / "edgeseg"))
    assert files(disk) == [] and files(tmp_path) == []
