"""How good a torch network is: its loss, and its scores through the same pixels as on the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import send_to_device

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
) -> Iterator[tuple[int, Any, Placement]]:
    """(index, what `RuntimeTask.decode` takes, where the image lies in the input) for each of some images."""
    contract = spec.preprocess.of_images
    for index in images:
        image = split.image(index)
        pixels = torch.from_numpy(preprocess(image[None], contract, spec.input_size)).to(device)
        yield index, arrays(module(pixels)), contract.place((image.shape[0], image.shape[1]), spec.input_size)


def arrays(returned: Any) -> Any:
    """What a network returned in NumPy: a tensor, or tensors by name; floats as float32."""
    if isinstance(returned, Mapping):
        return {name: arrays(value) for name, value in returned.items()}
    values: torch.Tensor = returned.detach().cpu()
    return (values.float() if values.is_floating_point() else values).numpy()


def loss_of(module: torch.nn.Module, image: torch.Tensor, target: Any, spec: ModelSpec) -> torch.Tensor:
    """The usual loss of the task for one sample, with its graph for backpropagation.

    Args:
        image: float32 [C,h,w]; `target`: as `TrainTask.target` gives it.
    """
    device, task = next(module.parameters()).device, training_of(spec.task)
    batch, wanted = send_to_device((image[None], task.batch([target])), device)
    return parse_loss("", task)(task.answer(module, batch, wanted, spec.postprocess), wanted)
