"""Torchvision's losses over things: proposals, boxes, classes and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from edgeseg.core.instances import Instances
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Size
from edgeseg.errors import InputError, ModelError
from edgeseg.training.tasks import Loss, TrainTask

if TYPE_CHECKING:
    from edgeseg.models.detection.learning import Dense, Learnt

NAMES = ("instance",)

LOSSES = ("rpn_objectness", "rpn_box", "classifier", "box", "mask")
"""As `StaticMaskRCNN` names them."""
BYTE = 255
BETA = 1 / 9
"""From which distance on the loss over deltas grows linearly; torchvision's."""


class ThingTargets:
    usual = "+".join(LOSSES)

    @property
    def losses(self) -> Mapping[str, Loss]:
        return {name: _loss(name) for name in LOSSES}

    def drawn(self, label: Instances, classes: int, ignore_index: int | None) -> Array:
        """A plane per thing [H,W,K], 1 + its class where it is. Crowds are left out."""
        if label.masks is None:
            raise InputError(
                "the labels are boxes without masks", expected="a mask of each thing, to learn masks from"
            )
        if label.crowd is not None:
            label = label.where(~label.crowd)
        assert label.masks is not None
        kind = np.uint8 if classes <= BYTE else np.int32
        planes = np.moveaxis(label.masks, 0, -1) * (label.labels + 1).astype(kind)
        return np.ascontiguousarray(planes)

    def target(
        self, drawn: Array, size: Size, corner: tuple[int, int], classes: int
    ) -> dict[str, torch.Tensor]:
        """Of the things of which a pixel is left `boxes` around it, float32 [K,4]; `labels`, int64 [K];
        `masks`, uint8 [K,H,W]."""
        (top, left), (height, width) = corner, drawn.shape[:2]
        ids = drawn.max(axis=(0, 1), initial=0)
        kept = np.flatnonzero(ids)
        masks = np.zeros((len(kept), *size), np.uint8)
        planes = np.moveaxis(drawn[..., kept], -1, 0) > 0
        masks[:, top : top + height, left : left + width] = planes
        boxes = np.array([_box(mask) for mask in masks], np.float32).reshape(-1, 4)
        return {
            "boxes": torch.from_numpy(boxes),
            "labels": torch.from_numpy(ids[kept].astype(np.int64) - 1),
            "masks": torch.from_numpy(masks),
        }

    def label(self, found: Instances, spec: ModelSpec) -> Instances:
        """Those things that would be drawn."""
        least = np.array(spec.postprocess.thresholds(len(spec.classes)), np.float32)
        return found.where(found.scores >= least[found.labels])

    def batch(self, targets: Sequence[dict[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
        return list(targets)

    def answer(
        self, module: torch.nn.Module, image: torch.Tensor, target: Any, contract: Postprocess
    ) -> Learnt:
        _require_heads(getattr(module, "module", module))
        found: Learnt = module(image, target)
        return found

    def taught(
        self, teacher: torch.nn.Module, image: torch.Tensor, answer: Learnt, contract: Postprocess
    ) -> Dense:
        _require_heads(teacher)
        ask: Any = teacher.dense
        found: Dense = ask(image, answer.dense)
        return found

    def distil(self, answer: Learnt, taught: Dense | Mapping[str, Sequence[torch.Tensor]]) -> torch.Tensor:
        """The sum of five: how far are objectness and deltas of all anchors, classes and deltas in the boxes
        that the learner was asked about, and the masks in those that are things. Of deltas and objectness
        those count that the teacher, or the learner, takes for a thing.

        A lifted graph does not tell which head is which, and gives them by name: the mean over the heads of
        the squared distance, relative to how much the teacher's values vary."""
        own: Any = answer.dense
        if isinstance(taught, Mapping):
            return torch.stack([_relative(own[name], values) for name, values in taught.items()]).mean()
        there = taught.objectness.float().sigmoid()
        either = torch.maximum(there, own.objectness.detach().float().sigmoid())
        anchors = _mean(_binary(own.objectness, taught.objectness), either)
        shifts = _mean(_apart(own.deltas, taught.deltas).sum(1, keepdim=True), there)
        truth = taught.scores.float().log_softmax(1)
        found = own.scores.float().log_softmax(1)
        classes = F.kl_div(found, truth, reduction="batchmean", log_target=True)
        by_class = _apart(own.box_deltas, taught.box_deltas).unflatten(1, (-1, 4)).sum(2)
        boxes = _mean(by_class[:, 1:], truth.exp()[:, 1:])
        labels = torch.cat(own.labels)
        rows = torch.arange(len(labels), device=labels.device)
        masks = _binary(own.masks[rows, labels], taught.masks[rows, labels])
        return anchors + shifts + classes + boxes + masks.sum() / max(masks.numel(), 1)


def _require_heads(network: torch.nn.Module) -> None:
    if not callable(getattr(network, "dense", None)):
        raise ModelError(
            "the network returns things, and training asks its heads before anything is decided",
            expected="a Mask R-CNN of the zoo or of torchvision, as a network of PyTorch",
            hint="train it before it is exported",
        )


def _loss(name: str) -> Loss:
    def loss(answer: Any, target: Any) -> torch.Tensor:
        value: torch.Tensor = answer.losses[name]
        return value

    return loss


def _box(mask: Array) -> tuple[int, int, int, int]:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def _binary(logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy to the teacher's probability, less its own entropy."""
    teacher = teacher.float()
    truth = teacher.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none")
    return entropy - F.binary_cross_entropy_with_logits(teacher, truth, reduction="none")


def _apart(deltas: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    return F.smooth_l1_loss(deltas.float(), teacher.float(), beta=BETA, reduction="none")


def _relative(found: Sequence[torch.Tensor], taught: Sequence[torch.Tensor]) -> torch.Tensor:
    student, teacher = torch.cat(list(found)).float(), torch.cat(list(taught)).float()
    return (student - teacher).square().mean() / teacher.var().clamp(min=1e-12)


def _mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1e-6)


def task(name: str) -> TrainTask:
    return ThingTargets()
