"""The scoring phase: every class map of CamVid val, once, by the road that is timed."""

from __future__ import annotations

import numpy as np

from _peers.material import CLASSES, IGNORE, Material
from _peers.timing import open_all
from edgeseg.metrics import confusion


def score(material: Material) -> None:
    """Write `scores.npz`: one confusion matrix per image and contestant, int64 [images,11,11]."""
    opened, _ = open_all(material, "native")
    found: dict[str, list[np.ndarray]] = {name: [] for name in opened}
    for index in range(len(material.val)):
        frame, label = material.val.image(index), material.val.label(index)
        for name, one in opened.items():
            found[name].append(confusion(label, one.frame(frame), CLASSES, IGNORE))
        print(f"\rscoring {index + 1} of {len(material.val)}", end="", flush=True)
    print()
    np.savez_compressed(material.folder / "scores.npz", **{n: np.stack(m) for n, m in found.items()})
