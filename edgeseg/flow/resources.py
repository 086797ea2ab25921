"""Recipes and calibration lists that come with edgeseg, in a clone and in an installed wheel alike."""

from __future__ import annotations

from pathlib import Path

import edgeseg


def recipes() -> dict[str, Path]:
    """Name (the file's stem) -> recipe, in alphabetical order."""
    return {path.stem: path for path in sorted(folder("recipes").glob("*.toml"))}


def folder(name: str) -> Path:
    """Where `recipes` or `calibration` lies.

    A wheel carries them as `edgeseg/_data/<name>`; a clone has them beside the package.
    """
    package = Path(edgeseg.__file__).parent
    installed = package / "_data" / name
    return installed if installed.is_dir() else package.parent / name
