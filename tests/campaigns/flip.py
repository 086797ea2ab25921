"""Flip single bits in bundles of every kind, manifest included, and in caches of compiled models.

    python tests/campaigns/flip.py [--flips 1000] [--seed 0]

A changed bundle has to be refused, or its manifest has to say the same: spaces between fields may be others.
An engine opened with a changed cache has to give the class maps it gave before.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.errors import BundleError
from edgeseg.runtime import load
from edgeseg.runtime.check import golden_frames

RECIPE = """
schema_version = 1
name = "flip"
targets = ["ort-fp32", "openvino-int8", "trt-fp16@orin"]
camera_size = [64, 96]
bench = false

[model]
name = "demo"
input_size = [64, 96]

[data]
name = "synthetic-streets"
limit = 2

[[steps]]
use = "export"

[[steps]]
use = "quantize"
settings = {images = 2}
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with TemporaryDirectory(prefix="edgeseg-flip-") as folder:
        found = campaign(Path(folder), given.flips, given.seed)
    for (kind, outcome), count in sorted(found.items()):
        print(f"{kind:10} {outcome:40} {count}")
    return int(any(outcome.startswith("ACCEPTED") for _, outcome in found))


def campaign(folder: Path, flips: int, seed: int) -> Counter[tuple[str, str]]:
    """How many flips in which kind of bundle, or in the cache, ended how."""
    (folder / "flip.toml").write_text(RECIPE)
    command = [sys.executable, "-m", "edgeseg", "run", str(folder / "flip.toml"), "-o", str(folder / "run")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 4):
        raise RuntimeError(done.stderr)
    bundles: dict[str, list[Path]] = {}
    for manifest in sorted((folder / "run").rglob("manifest.json")):
        bundles.setdefault(Bundle.open(manifest.parent).manifest.kind, []).append(manifest.parent)
    chance = random.Random(seed)
    found: Counter[tuple[str, str]] = Counter()
    engine = next(p for p in bundles["engine"] if "openvino" in p.name)
    with load(engine, cache=folder / "cache") as session:
        golden = golden_frames(session.bundle)
        assert golden is not None
        right = session(golden.frames)
    kinds = [*sorted(bundles), "cache"]
    for number in range(flips):
        kind = kinds[number % len(kinds)]
        if kind == "cache":
            outcome = in_cache(folder / "cache", engine, golden.frames, right, chance)
        else:
            outcome = in_bundle(chance.choice(bundles[kind]), chance)
        found[kind, outcome] += 1
    return found


def in_bundle(path: Path, chance: random.Random) -> str:
    manifest = Bundle.open(path, check_files=False).manifest
    with flipped(path / chance.choice(["manifest.json", *manifest.files]), chance) as file:
        where = "manifest" if file.name == "manifest.json" else "file"
        try:
            same = Bundle.open(path).manifest == manifest
        except BundleError:
            return f"{where}: refused"
        return f"{where}: says the same" if same else f"ACCEPTED: {file.relative_to(path)}"


def in_cache(cache: Path, engine: Path, frames: np.ndarray, right: np.ndarray, chance: random.Random) -> str:
    with flipped(chance.choice([p for p in cache.rglob("*") if p.is_file()]), chance) as file:
        changed = file.read_bytes()
        with load(engine, cache=cache) as session:
            if not np.array_equal(session(frames), right):
                return f"ACCEPTED: {file.name}"
        return "ACCEPTED: it stayed" if file.read_bytes() == changed else "made again"


@contextmanager
def flipped(file: Path, chance: random.Random) -> Iterator[Path]:
    """A file with one bit changed, until the block ends."""
    whole = file.read_bytes()
    changed = bytearray(whole)
    changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
    file.write_bytes(changed)
    try:
        yield file
    finally:
        file.write_bytes(whole)


if __name__ == "__main__":
    sys.exit(main())
