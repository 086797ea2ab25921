"""Good inputs that bad ones are made of: a network in Python and ONNX, labelled images, a list, bundles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from PIL import Image

from fuzzing.documents import CLASSES
from fuzzing.onnx_files import network
from fuzzing.worker import Worker

NET = """from torch import nn


def net(classes=2):
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, classes, 1))
"""
SMALL = ("--model", "net.py:net", "--input-size", "64x64", "--classes", "2")
BUNDLES = {"ort": "ort-fp32", "openvino": "openvino-fp32", "null": "null-fp32", "deferred": "rtx-fp16@sm120"}
"""Folder and target."""


def make_material(folder: Path, worker: Worker) -> Path:
    """Write all of it into `folder`, by the command line where edgeseg makes it."""
    import torch

    folder.mkdir(parents=True)
    (folder / "net.py").write_text(NET)
    (folder / "net.onnx").write_bytes(network().SerializeToString())
    space: dict[str, object] = {}
    exec(NET, space)
    torch.manual_seed(0)
    torch.save(space["net"]().state_dict(), folder / "w.pt")  # type: ignore[operator]
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (folder / "pairs" / kind / split).mkdir(parents=True)
        for stem in "ab":
            image = random.integers(0, 255, (64, 64, 3), np.uint8)
            Image.fromarray(image).save(folder / "pairs" / "images" / split / f"{stem}{split}.png")
            mask = (image[..., 0] > 127).astype(np.uint8)
            Image.fromarray(mask).save(folder / "pairs" / "masks" / split / f"{stem}{split}.png")
    (folder / "pairs" / "dataset.toml").write_text(CLASSES)
    private = Ed25519PrivateKey.generate()
    (folder / "key.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    export = ("export", *SMALL, "--weights", "w.pt", "--data", "folders=pairs")
    for name, target in BUNDLES.items():
        _do(worker, folder, (*export, "--target", target, "-o", "made"))
        next((folder / "made").glob("*")).rename(folder / name)
    (folder / "made").rmdir()
    _do(worker, folder, ("calibrate", "select", "--data", "folders=pairs", "--count", "2", "-o", "list.txt"))
    return folder


def _do(worker: Worker, folder: Path, words: tuple[str, ...]) -> None:
    done = worker.run(words, folder)
    assert done.code == 0, done.err
