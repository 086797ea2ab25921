"""Whether a file that a command wrote is whole, as its readers see it."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from edgeseg.core.bundle import MANIFEST, Bundle
from edgeseg.errors import EdgesegError


def broken(path: Path) -> str:
    """What is wrong with a manifest and its bundle, a JSON, PNG or safetensors file; empty: nothing."""
    try:
        if path.name == MANIFEST:
            Bundle.open(path.parent)
        elif path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".png":
            with Image.open(path) as picture:
                picture.load()
        elif path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            load_file(path)
    except (EdgesegError, ValueError, OSError) as fault:
        return str(fault).splitlines()[0]
    return ""
