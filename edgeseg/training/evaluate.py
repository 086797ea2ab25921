"""Dataset-level confusion of a torch network, through the same pixels in and out as on the device."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.datasets import Split
from edgeseg.metrics import confusion
from edgeseg.runtime.postprocess import class_map
from edgeseg.runtime.preprocess import preprocess


@torch.inference_mode()
def confusion_of(
    module: torch.nn.Module,
    split: Split,
    spec: ModelSpec,
    *,
    device: Any = "cpu",
    first: int = 0,
    every: int = 1,
) -> NDArray[np.int64]:
    """Confusion matrix [C,C] (rows: label) over images `first`, `first + every`, ... of a split.

    Args:
        module: in evaluation mode, float32 [1,3,h,w] to scores, on `device`.
    """
    contract = msgspec.structs.replace(spec.preprocess, frame_color="rgb")
    classes = len(spec.classes)
    total = np.zeros((classes, classes), np.int64)
    for index in range(first, len(split), every):
        image = split.image(index)
        pixels = torch.from_numpy(preprocess(image[None], contract, spec.input_size)).to(device)
        scores = module(pixels).float().cpu().numpy()
        place = contract.place((image.shape[0], image.shape[1]), spec.input_size)
        found = class_map(scores, spec, place)[0]
        total += confusion(split.label(index), found, classes, split.ignore_index)
    return total
