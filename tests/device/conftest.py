"""The toy engine and its bundles are those of tests/runtime."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_file = Path(__file__).parents[1] / "runtime" / "conftest.py"
_spec = importlib.util.spec_from_file_location("runtime_fixtures", _file)
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)

toy_backend = _fixtures.toy_backend
make_bundle = _fixtures.make_bundle
frames = _fixtures.frames
