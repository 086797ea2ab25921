"""How good a torch network is: its loss, and its confusion through the same pixels as on the device."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.datasets import Split
from edgeseg.metrics import confusion
from edgeseg.runtime.postprocess import class_map
from edgeseg.runtime.preprocess import preprocess
from edgeseg.training.losses import class_logits, cross_entropy


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


def loss_of(
    module: torch.nn.Module, image: torch.Tensor, label: torch.Tensor, spec: ModelSpec
) -> torch.Tensor:
    """Cross-entropy of one sample, with its graph for backpropagation.

    Args:
        image: float32 [3,h,w]; `label`: int64 [h,w], ignored pixels are IGNORE.
    """
    device = next(module.parameters()).device
    scores = module(image[None].to(device))
    if scores.shape[2:] != label.shape:
        scores = F.interpolate(scores, label.shape, mode="bilinear")
    return cross_entropy(class_logits(scores, spec.postprocess), label[None].to(device))
