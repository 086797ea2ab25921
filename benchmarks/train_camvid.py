"""Train the CamVid networks that come without weights: Eff-UNet-B0 and DeepLabV3+-mobile.

    .venv/bin/python benchmarks/train_camvid.py deeplab -o runs/camvid-deeplab

Starts from the tensors that a trained network of `$EDGESEG_DATA/weights` has under the same name and shape (a
whole encoder, or all convolutions), then trains on CamVid train with `edgeseg train`. CamVid val is scored
once, at the end: nothing is chosen on it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

NETWORKS = {
    "deeplab": ("deeplabv3plus-mobile", {}, "munet_camvid.pt", 1000),
    "effunet-b0": ("eff-unet", {"encoder": "tu-tf_efficientnet_b0"}, "effunet_camvid.pt", 400),
}
"""Zoo name, options, where it starts from, optimiser steps."""
CLASSES = 11
TRAINING = {
    "batch": 8,
    "crop": "256,320",
    "lr": 1e-3,
    "loss": "ce+0.5*dice",
    "average": "ema",
    "precision": "bf16",
}


def start(model: str, options: dict[str, str], donor: Path, file: Path) -> str:
    """Write a network with the donor's tensors where they fit. Returns how many fit."""
    from safetensors.torch import save_file

    from edgeseg.models import MODELS
    from edgeseg.models.checkpoint import read_state_dict

    network = MODELS.load(model).family(model).create(CLASSES, 3, **options)
    own, given = network.state_dict(), read_state_dict(donor)
    fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.clone().contiguous() for k, v in {**own, **fitting}.items()}, file)
    return f"{len(fitting)} of {len(own)} tensors come from {donor.name}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    data = Path(os.environ["EDGESEG_DATA"])
    model, options, donor, steps = NETWORKS[given.network]
    first = given.output / "start.safetensors"
    if not first.exists():
        print(start(model, options, data / "weights" / donor, first), flush=True)
    settings = {**TRAINING, "steps": steps, "validate_every": steps}
    command = [sys.executable, "-m", "edgeseg", "train", "--model", model, "--weights", str(first)]
    command += [part for k, v in options.items() for part in ("--option", f"{k}={v}")]
    command += [part for k, v in settings.items() for part in ("--train", f"{k}={v}")]
    command += ["--data", f"camvid={data / 'camvid'}", "-o", str(given.output / "train")]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
