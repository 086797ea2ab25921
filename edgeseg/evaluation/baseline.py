"""The network in PyTorch eager fp32 with NumPy pre- and post-processing: the road before deployment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.core.recipe import ModelChoice
from edgeseg.core.tiles import Tiles
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import SCORES, Outputs, decided
from edgeseg.runtime.tasks.maps import map_task
from edgeseg.runtime.tiled import Tiled

NAME = "torch-fp32"


def torch_baseline(
    bundle: Bundle, window: Size, *, tiles: Tiles | None = None, trusted: ModelChoice | None = None
) -> Callable[[Array], Any]:
    """From frames [N,...] to what the task finds in them, by a bundle of kind `torch`.

    Args:
        window: (height, width) of the frames, or of their `tiles`.
    """
    import torch

    from edgeseg.models.load import open_network

    spec = bundle.manifest.model
    module = open_network(bundle, trusted=trusted).eval()
    placement = spec.preprocess.place(window, spec.input_size)

    def scores_of(frames: Array) -> Any:
        pixels = preprocess(frames, spec.preprocess, spec.input_size)
        with torch.inference_mode():
            found = module(torch.from_numpy(pixels))
        if isinstance(found, dict):
            return {name: value.numpy() for name, value in found.items()}
        return np.asarray(found.numpy(), dtype=np.float32)

    def tile(frames: Array) -> Outputs:
        placed = map_task(spec).placed(scores_of(frames), spec, placement)
        return {SCORES: np.concatenate(list(placed), axis=2)}

    if tiles is None:
        return lambda frames: decided(scores_of(frames), spec, placement)
    tiled = Tiled(tile, 1, tiles, spec)
    return lambda frames: tiled(frames)[map_task(spec).output]
