"""How good a torch network is: its loss, and its confusion through the same pixels as on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
        module: in evaluation mode, float32 [1,C,h,w] to scores, on `device`.
    """
    chosen = range(first, len(split), every)
    return confusions_of(module, split, spec, chosen, device=device).sum(axis=0)


@torch.inference_mode()
def confusions_of(
    module: torch.nn.Module, split: Split, spec: ModelSpec, images: Sequence[int], *, device: Any = "cpu"
) -> NDArray[np.int64]:
    """One confusion matrix per image, [N,C,C]; as `confusion_of`."""
    contract = spec.preprocess.of_images
    classes = len(spec.classes)
    found = np.zeros((len(images), classes, classes), np.int64)
    for matrix, index in zip(found, images):
        image = split.image(index)
        pixels = torch.from_numpy(preprocess(image[None], contract, spec.input_size)).to(device)
        scores = module(pixels).float().cpu().numpy()
        place = contract.place((image.shape[0], image.shape[1]), spec.input_size)
        labels = class_map(scores, spec, place)[0]
        matrix += confusion(split.label(index), labels, classes, split.ignore_index)
    return found


def loss_of(
    module: torch.nn.Module, image: torch.Tensor, label: torch.Tensor, spec: ModelSpec
) -> torch.Tensor:
    """Cross-entropy of one sample, with its graph for backpropagation.

    Args:
        image: float32 [C,h,w]; `label`: int64 [h,w], ignored pixels are IGNORE.
    """
    device = next(module.parameters()).device
    scores = module(image[None].to(device))
    if scores.shape[2:] != label.shape:
        scores = F.interpolate(scores, label.shape, mode="bilinear")
    return cross_entropy(class_logits(scores, spec.postprocess), label[None].to(device))
