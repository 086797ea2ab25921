"""What all tests share: one thread per library, a cache folder of their own, real data where it is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for what tests of several folders share
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Caches of this test process, empty at its start: no test depends on what ran before on the machine."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the real data: `camvid/`, `weights/`, `onnx/`, ... Skips where EDGESEG_DATA is not set."""
    folder = os.environ.get("EDGESEG_DATA")
    if not folder:
        pytest.skip("EDGESEG_DATA is not set")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"EDGESEG_DATA is {folder}, which is not a folder")
    return path
