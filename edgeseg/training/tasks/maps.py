"""What the tasks share whose networks give scores of pixels [N,C,h,w]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.data import default_collate

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.postprocess import Postprocess


class MapTargets(ABC):
    """The answer of a network is its logits [N,C,H,W], in the size of the image."""

    @abstractmethod
    def logits(self, scores: torch.Tensor, contract: Postprocess) -> torch.Tensor:
        """Network scores [N,C,H,W] as the losses take them: without the network's own sigmoid or softmax."""

    def label(self, found: Array, spec: ModelSpec) -> Array:
        return found

    def batch(self, targets: Sequence[torch.Tensor]) -> Any:
        return default_collate(list(targets))

    def answer(
        self, module: torch.nn.Module, image: torch.Tensor, target: Any, contract: Postprocess
    ) -> torch.Tensor:
        return self.logits(at_size(module(image), image.shape[2:]), contract)

    def taught(
        self, teacher: torch.nn.Module, image: torch.Tensor, answer: Any, contract: Postprocess
    ) -> torch.Tensor:
        return self.answer(teacher, image, None, contract)


def at_size(scores: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Scores [N,C,h,w] at the (height, width) of the input."""
    if scores.shape[2:] == tuple(size):
        return scores
    return F.interpolate(scores, tuple(size), mode="bilinear")
