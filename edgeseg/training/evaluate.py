"""How good a torch network is: its loss, and its scores through the same pixels as on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.preprocess import Placement
from edgeseg.datasets import Split
from edgeseg.metrics.tasks import Figures, metric_of
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import decided
from edgeseg.training.losses import parse_loss
from edgeseg.training.tasks import training_of


@torch.inference_mode()
def kept_of(
    module: torch.nn.Module, split: Split, spec: ModelSpec, images: Sequence[int], *, device: Any = "cpu"
) -> list[Any]:
    """What `MetricTask.keep` gives for each of some images.

    Args:
        module: in evaluation mode, float32 [1,C,h,w] to scores, on `device`.
    """
    task = metric_of(spec, split.ignore_index)
    return [
        task.keep(split.label(index), decided(scores, spec, place)[0])
        for index, scores, place in scores_of(module, split, spec, images, device=device)
    ]


def figures_of(module: torch.nn.Module, split: Split, spec: ModelSpec, *, device: Any = "cpu") -> Figures:
    """Scores of all images of a split together; `module` as of `kept_of`."""
    kept = kept_of(module, split, spec, range(len(split)), device=device)
    return metric_of(spec, split.ignore_index).figures(kept)


def scores_of(
    module: torch.nn.Module, split: Split, spec: ModelSpec, images: Sequence[int], *, device: Any = "cpu"
) -> Iterator[tuple[int, NDArray[np.float32], Placement]]:
    """(index, float32 [1,C,h,w], where the image lies in the input) for each of some images."""
    contract = spec.preprocess.of_images
    for index in images:
        image = split.image(index)
        pixels = torch.from_numpy(preprocess(image[None], contract, spec.input_size)).to(device)
        scores = module(pixels).float().cpu().numpy()
        yield index, scores, contract.place((image.shape[0], image.shape[1]), spec.input_size)


def loss_of(
    module: torch.nn.Module, image: torch.Tensor, target: torch.Tensor, spec: ModelSpec
) -> torch.Tensor:
    """The usual loss of the task for one sample, with its graph for backpropagation.

    Args:
        image: float32 [C,h,w]; `target`: as `TrainTask.target` gives it.
    """
    device, task = next(module.parameters()).device, training_of(spec.task)
    scores = at_size(module(image[None].to(device)), image.shape[1:])
    return parse_loss("", task)(task.logits(scores, spec.postprocess), target[None].to(device))


def at_size(scores: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Scores [N,C,h,w] at the (height, width) of the input."""
    if scores.shape[2:] == tuple(size):
        return scores
    return F.interpolate(scores, tuple(size), mode="bilinear")
