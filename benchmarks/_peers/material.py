"""What every contestant is given: a network, its weights, its float graph, images of CamVid train."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe, StepChoice
from edgeseg.datasets import Dataset, Split, open_dataset
from edgeseg.errors import InputError

INPUT, CAMERA, CLASSES, IGNORE = (384, 480), (360, 480), 11, 11
THREADS = 2
HELD_OUT = 40
GAP = 2
"""Frames between calibration and held-out images: neighbours of a video are nearly the same image."""
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True)
class Network:
    """A zoo network.

    Attributes:
        weights: a file under `$EDGESEG_DATA/weights`; empty: `--weights` is needed.
        qat: the shipped recipe that trains it in int8; empty: there is none.
    """

    zoo: str
    weights: str = ""
    qat: str = ""
    options: dict[str, Any] = field(default_factory=dict)


NETWORKS = {
    "mobile-unet": Network("mobile-unet", "munet_camvid.pt", "mobile-unet-openvino-int8-qat"),
    "eff-unet": Network("eff-unet", "effunet_camvid.pt"),
    "eff-unet-b0": Network(
        "eff-unet", qat="eff-unet-b0-openvino-qat", options={"encoder": "tu-tf_efficientnet_b0"}
    ),
    "deeplabv3plus-mobile": Network("deeplabv3plus-mobile"),
}


def prepared(frame: np.ndarray) -> np.ndarray:
    """As the users of these tools write it: uint8 [360,480,3] -> float32 [1,3,384,480]."""
    pixels = (frame.astype(np.float32) / 255 - MEAN) / STD
    padded = np.pad(pixels, ((0, INPUT[0] - CAMERA[0]), (0, 0), (0, 0)))
    return np.ascontiguousarray(padded.transpose(2, 0, 1)[None])


def decided(scores: np.ndarray) -> np.ndarray:
    """float32 [1,11,384,480] -> uint8 [360,480]."""
    return scores[0, :, : CAMERA[0]].argmax(axis=0).astype(np.uint8)


class Feeds(Sequence):
    """Preprocessed images, read from disk each time they are asked for: nothing is kept."""

    def __init__(self, split: Split, name: str = "image") -> None:
        self.split, self.name = split, name

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {self.name: prepared(self.split.image(index))}

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return (self[i] for i in range(len(self)))


class Material:
    """
    Args:
        name: one of NETWORKS.
        weights: a checkpoint instead of the network's own.
        work: folder of everything that is made; one folder per contestant.
        images: how many images calibrate.
        bundles: contestants that are given as engine bundles, by name.
    """

    def __init__(
        self, name: str, weights: Path | None, work: Path, images: int, bundles: dict[str, Path]
    ) -> None:
        self.name, self.network, self.images, self.bundles = name, NETWORKS[name], images, bundles
        if not os.environ.get("EDGESEG_DATA"):
            raise InputError("EDGESEG_DATA is not set", expected="the folder with camvid/ and weights/")
        self.data = Path(os.environ["EDGESEG_DATA"])
        if weights is None and not self.network.weights:
            raise InputError(f"{name} has no given weights", expected="--weights FILE")
        self.weights = weights or self.data / "weights" / self.network.weights
        self.folder = work / name
        self.graph = self.folder / "float.onnx"

    @cached_property
    def dataset(self) -> Dataset:
        return open_dataset("camvid", self.data / "camvid")

    @cached_property
    def train(self) -> Split:
        return self.dataset.split("train")

    @cached_property
    def val(self) -> Split:
        return self.dataset.split("val")

    @cached_property
    def held_out(self) -> Split:
        """The last frames of each sequence of train: what accuracy control and the planner decide by."""
        return _chosen(self.train, _parts(self.train.ids)[1])

    @cached_property
    def calibration(self) -> Split:
        """Evenly from the rest of train."""
        ids = _parts(self.train.ids)[0]
        if self.images > len(ids):
            raise InputError(f"--images is {self.images}", expected=f"at most {len(ids)}")
        return _chosen(self.train, [ids[i] for i in np.linspace(0, len(ids) - 1, self.images).astype(int)])

    def frame(self) -> np.ndarray:
        """What is timed: uint8 [360,480,3]."""
        return self.held_out.image(0)

    def choice(self, onnx: bool = False) -> ModelChoice:
        """The network, or its float graph as a user's ONNX file."""
        if onnx:
            return ModelChoice(name=str(self.graph), input_size=INPUT)
        return ModelChoice(
            name=self.network.zoo,
            weights=str(self.weights),
            input_size=INPUT,
            options=self.network.options,
        )

    def recipe(self, target: str, *steps: StepChoice) -> Recipe:
        return Recipe(
            schema_version=Recipe.SCHEMA_VERSION,
            name=f"peers-{self.name}",
            model=self.choice(),
            data=DataChoice(name="camvid", root=str(self.data / "camvid")),
            steps=(StepChoice(use="export"), *steps),
            targets=(target,),
            camera_size=CAMERA,
        )

    def module(self) -> Any:
        """The network in PyTorch, evaluation mode."""
        from edgeseg.models.load import resolve

        return resolve(self.choice(), classes=self.train.classes, ignore_index=IGNORE).module


def _parts(ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Calibration and held-out ids: the tail of each sequence is held out, in proportion to its length."""
    sequences: dict[str, list[str]] = {}
    for name in ids:
        sequences.setdefault(Path(name).name.partition("_")[0], []).append(name)
    ends = np.cumsum([len(s) for s in sequences.values()]) * HELD_OUT / len(ids)
    counts = np.diff(np.rint(ends), prepend=0).astype(int)
    used, kept = [], []
    for names, count in zip(sequences.values(), counts):
        used += names[: len(names) - count - GAP]
        kept += names[len(names) - count :]
    return used, kept


def _chosen(split: Split, ids: Sequence[str]) -> Split:
    return replace(split, ids=tuple(ids))
