"""Where timing caches, compiled models and generated data go: outside bundles, safe to delete."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/edgeseg` or `~/.cache/edgeseg` (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "edgeseg"


def engine_cache() -> Path:
    """Where engines keep compiled models and timings between runs."""
    return cache_folder() / "engines"
