"""Networks of instances: what they are, what they decide, and what they return."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from edgeseg.core.instances import InstanceOutputs
from edgeseg.core.model_spec import ClassInfo, default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import ModelError
from edgeseg.models._common import class_count

if TYPE_CHECKING:
    from edgeseg.models.detection.static import StaticMaskRCNN

TASK = "instance"


def is_mask_rcnn(network: Any) -> bool:
    """Whether it is a Mask R-CNN of torchvision, of any backbone and heads. Imports nothing."""
    module = sys.modules.get("torchvision.models.detection.mask_rcnn")
    return module is not None and isinstance(network, module.MaskRCNN)


def require_instances(stated: str | None, name: str) -> str:
    """The task of a network of instances. Raises ModelError where another is stated."""
    if stated not in (None, TASK):
        raise ModelError(
            f"the task {stated} is stated, and '{name}' is a network of instances",
            expected=f"the task {TASK}",
            hint="leave the task out",
        )
    return TASK


def instance_classes(
    choice: ModelChoice, known: tuple[ClassInfo, ...] | None, stored: int | None, default: int
) -> tuple[ClassInfo, ...]:
    """The classes of things, without background.

    Args:
        known: those of the data, or of `--classes`; `stored`: how many the weights have; `default`: how many
            where nothing tells.
    """
    count = class_count(choice, known) or stored or default
    named = known and len(known) == count and known != default_classes(count)
    return known if known and named else thing_classes(count)


def thing_classes(count: int) -> tuple[ClassInfo, ...]:
    """`default_classes` without black, which is where no thing is."""
    colored = default_classes(count + 1)[1:]
    return tuple(ClassInfo(named.name, info.color) for named, info in zip(default_classes(count), colored))


def returning(contract: Postprocess, network: StaticMaskRCNN) -> Postprocess:
    """`contract`, with what the network returns."""
    return msgspec.structs.replace(contract, instances=outputs_of(network))


def outputs_of(network: StaticMaskRCNN) -> InstanceOutputs:
    heads = network.network.roi_heads
    return InstanceOutputs(
        kept=network.detections.count,
        mask_size=network.mask_size,
        score_threshold=float(heads.score_thresh),
        nms_threshold=float(heads.nms_thresh),
    )
