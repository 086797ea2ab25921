"""Labels from a network: training and validation on images that have none."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.datasets.split import Split
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import decided
from edgeseg.training.evaluate import arrays
from edgeseg.training.tasks import training_of


def pseudo_labelled(split: Split, teacher: torch.nn.Module, spec: ModelSpec) -> Split:
    """`split` with what `teacher` finds as its labels: scores on it are agreement with the teacher.

    A label is computed when it is first read and kept, compressed.

    Args:
        teacher: in evaluation mode, float32 [1,C,h,w] to what the task decides from; the network of `spec`.
    """
    contract = spec.preprocess.of_images
    kept: dict[str, Callable[[], Any]] = {}

    @torch.inference_mode()
    def label(identity: str) -> Any:
        if identity not in kept:
            image = split.read_image(identity)
            device = next((p.device for p in teacher.parameters()), torch.device("cpu"))
            pixels = torch.from_numpy(preprocess(image[None], contract, spec.input_size)).to(device)
            place = contract.place((image.shape[0], image.shape[1]), spec.input_size)
            found = decided(arrays(teacher(pixels)), spec, place)[0]
            kept[identity] = _small(training_of(spec.task).label(found, spec))
        return kept[identity]()

    return replace(split, classes=spec.classes, ignore_index=None, read_label=label, task=spec.task)


def _small(label: Any) -> Callable[[], Any]:
    """Makes it again: an array, or a named tuple of arrays of which some may be None."""
    if label is None:
        return lambda: None
    if isinstance(label, tuple):
        parts, kind = [_small(part) for part in label], type(label)
        return lambda: kind(*(part() for part in parts))
    data, dtype, shape = zlib.compress(label.tobytes(), 1), label.dtype.str, label.shape

    def whole() -> Array:
        return np.frombuffer(zlib.decompress(data), dtype).reshape(shape)

    return whole
