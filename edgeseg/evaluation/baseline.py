"""The network in PyTorch eager fp32 with NumPy pre- and post-processing: the road before deployment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.core.recipe import ModelChoice
from edgeseg.runtime.postprocess import class_map
from edgeseg.runtime.preprocess import preprocess

NAME = "torch-fp32"


def torch_baseline(
    bundle: Bundle, camera: Size, *, trusted: ModelChoice | None = None
) -> Callable[[Array], Array]:
    """`frames` uint8 [N,H,W,3] -> class map uint8 [N,H,W], from a bundle of kind `torch`."""
    import torch

    from edgeseg.models.load import open_network

    spec = bundle.manifest.model
    module = open_network(bundle, trusted=trusted).eval()
    placement = spec.preprocess.place(camera, spec.input_size)

    def run(frames: Array) -> Array:
        pixels = preprocess(frames, spec.preprocess, spec.input_size)
        with torch.inference_mode():
            scores = module(torch.from_numpy(pixels)).numpy()
        return class_map(np.asarray(scores, dtype=np.float32), spec, placement)

    return run
