"""Versions of what takes part in a step: they are recorded in bundles and decide what a rerun may reuse."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import edgeseg


def versions(*packages: str) -> dict[str, str]:
    """Installed versions by distribution name, without importing; missing packages are left out."""
    found = {"edgeseg": edgeseg.__version__}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@lru_cache(maxsize=1)
def source_hash() -> str:
    """sha256 over the package's own Python files: a changed line makes steps run again."""
    root = Path(edgeseg.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(file.relative_to(root).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
