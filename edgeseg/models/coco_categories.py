"""The 91 categories of torchvision's COCO weights: background, 80 names, 10 ids that stand for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgeseg.core.model_spec import ClassInfo
from edgeseg.models.instances import thing_classes

if TYPE_CHECKING:
    from torch import Tensor
    from torchvision.models.detection import MaskRCNN

UNNAMED = "N/A"
"""What torchvision calls ids that stand for nothing."""


def category_classes(count: int) -> tuple[ClassInfo, ...] | None:
    """The classes of a network that has as many as torchvision's COCO weights; None: it has not."""
    names = _categories()[1:]
    if count != len(names):
        return None
    return tuple(
        ClassInfo(own.name if name == UNNAMED else name, own.color)
        for own, name in zip(thing_classes(count), names)
    )


def narrow(network: MaskRCNN, names: Sequence[str]) -> bool:
    """Take the ids that stand for nothing out of the heads of a COCO network, where `names` are all others.

    The classes are in the order of `names` afterwards. What the network finds stays but for the share of the
    probability that these ids had, which no label ever gave them.

    Returns:
        Whether it was such a network.
    """
    import torch
    from torch import nn

    categories, heads = _categories(), network.roi_heads
    box, mask = heads.box_predictor, heads.mask_predictor
    layers: list[Any] = [getattr(box, name, None) for name in ("cls_score", "bbox_pred")]
    layers.append(getattr(mask, "mask_fcn_logits", None))
    if len(set(names)) != len(names) or set(names) != {*categories[1:]} - {UNNAMED} or None in layers:
        return False
    if layers[0].weight.shape[0] != len(categories):
        return False
    kept = torch.tensor([0, *(categories.index(name) for name in names)])

    def rows(values: Tensor) -> nn.Parameter:
        each = values.detach().unflatten(0, (len(categories), -1))
        return nn.Parameter(each[kept].flatten(0, 1))

    for layer in layers:
        layer.weight, layer.bias = rows(layer.weight), rows(layer.bias)
    layers[0].out_features, layers[1].out_features = len(kept), 4 * len(kept)
    layers[2].out_channels = len(kept)
    return True


def _categories() -> list[str]:
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

    names: list[str] = MaskRCNN_ResNet50_FPN_Weights.DEFAULT.meta["categories"]
    return names
