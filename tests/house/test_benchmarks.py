from __future__ import annotations

import pytest

from edgeseg.backends._cuda import cuda
from edgeseg.errors import MissingDevice


def test_make_gpu_exits_4_without_a_gpu_and_names_what_is_missing(clone, run):
    try:
        cuda()
    except MissingDevice:
        result = run("python", clone / "benchmarks" / "gpu.py")
        assert result.returncode == 4
        assert "NVIDIA driver" in result.stderr and "to fix:" in result.stderr
        assert result.stdout == ""
    else:
        pytest.skip("a GPU is here")


def test_every_benchmark_is_described(clone):
    text = (clone / "benchmarks" / "README.md").read_text()
    for file in (clone / "benchmarks").glob("[!_]*.py"):
        assert file.name in text
