"""A dataset of noise."""

from __future__ import annotations

import numpy as np

from edgeseg.core.model_spec import default_classes
from edgeseg.datasets import Split

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 32, 48, 3), dtype=np.uint8)


class NoiseData:
    """Labelled noise: splits `train` (8 images) and `val` (2), which share none."""

    name = "noise"
    classes = default_classes(3)
    ignore_index = None

    def splits(self) -> tuple[str, ...]:
        return ("train", "val")

    def split(self, name: str) -> Split:
        first, count = {"train": (0, 8), "val": (8, 2)}[name]
        return Split(
            dataset=self.name,
            name=name,
            ids=tuple(str(first + i) for i in range(count)),
            classes=self.classes,
            ignore_index=None,
            read_image=lambda identity: PIXELS[int(identity)],
            read_label=lambda identity: PIXELS[int(identity), ..., 0] % 3,
        )
