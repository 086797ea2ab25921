"""The network in PyTorch eager fp32 with NumPy pre- and post-processing: the road before deployment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.core.recipe import ModelChoice
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import decided

NAME = "torch-fp32"


def torch_baseline(
    bundle: Bundle, camera: Size, *, trusted: ModelChoice | None = None
) -> Callable[[Array], Any]:
    """From `frames` uint8 [N,H,W,3] to what the task finds in them, by a bundle of kind `torch`."""
    import torch

    from edgeseg.models.load import open_network

    spec = bundle.manifest.model
    module = open_network(bundle, trusted=trusted).eval()
    placement = spec.preprocess.place(camera, spec.input_size)

    def run(frames: Array) -> Any:
        pixels = preprocess(frames, spec.preprocess, spec.input_size)
        with torch.inference_mode():
            scores = module(torch.from_numpy(pixels)).numpy()
        return decided(np.asarray(scores, dtype=np.float32), spec, placement)

    return run
