"""A user's own Mask R-CNN of torchvision, as one static graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.core.frame import Frame
from edgeseg.core.model_ref import ModelRef
from edgeseg.core.model_spec import ModelSpec, Source, Weights
from edgeseg.core.preprocess import Preprocess, Size, assumed_frame
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import ModelError
from edgeseg.models._common import Held, Loaded, class_count, postprocess_of
from edgeseg.models.checkpoint import head_channels, require_finite
from edgeseg.models.coco_categories import category_classes, narrow
from edgeseg.models.framing import candidates, preprocess_of, stated_frame
from edgeseg.models.instances import instance_classes, require_instances, returning
from edgeseg.models.user_code import users_code

if TYPE_CHECKING:
    from torchvision.models.detection import MaskRCNN

    from edgeseg.models.detection.static import StaticMaskRCNN


def adopt(
    choice: ModelChoice,
    network: MaskRCNN,
    source: Source,
    weights: Weights | None,
    held: Held,
    notes: tuple[str, ...],
) -> Loaded:
    """The network without its transform, which says how it is fed.

    Raises:
        ModelError: another task or number of classes is stated, or the network fails.
    """
    require_finite(network.state_dict(), source.ref)
    name = ModelRef.parse(source.ref).name
    task = require_instances(choice.task, name)
    if narrow(network, [info.name for info in held.classes or ()]):
        notes = (*notes, "ids of COCO that stand for nothing were taken out of its heads")
    count = _require_classes(choice, held, network, name)
    classes = instance_classes(choice, held.classes or category_classes(count), count, count)
    assert choice.ref.path is not None
    size = choice.input_size or _own_size(network)
    takes = len(_transform(network).image_mean)
    (frame,) = candidates(stated_frame(choice), held.frame, takes)
    if frame.channels != takes:
        raise ModelError(
            f"the transform of '{name}' normalises {takes} channel(s), the frame is {frame}",
            expected=f"a frame of {takes} channel(s), or image_mean and image_std of {frame.channels}",
        )
    module = static(network, size, choice.ref.path.resolve())
    pixels = preprocess_of(choice, _own_pixels(network, frame), frame)
    spec = ModelSpec(
        name=name,
        source=source,
        weights=weights,
        task=task,
        input_size=size,
        classes=classes,
        ignore_index=held.ignore_index,
        preprocess=pixels,
        postprocess=returning(postprocess_of(choice), module),
    )
    notes = (*notes, *assumed_frame(choice.preprocess, pixels), *_seen_otherwise(network, size))
    told = f"it is a Mask R-CNN of torchvision: {count} class(es) of things, {classes[0].name} the first"
    return Loaded(spec, module, notes=(*notes, told))


def readopt(network: MaskRCNN, spec: ModelSpec, file: Path) -> StaticMaskRCNN:
    """What `adopt` made for `spec` of the network that `file`, the user's code, makes."""
    narrow(network, spec.class_names)
    return static(network, spec.input_size, file)


def static(network: MaskRCNN, size: Size, file: Path) -> StaticMaskRCNN:
    """`network` for images of `size`; `file`: of the user's code."""
    from edgeseg.models.detection.static import StaticMaskRCNN

    height, width = size
    channels = len(_transform(network).image_mean)
    with users_code(file, f"a network that takes images of {channels} channel(s) and {height}x{width}"):
        return StaticMaskRCNN(network, size)


def _require_classes(choice: ModelChoice, held: Held, network: MaskRCNN, name: str) -> int:
    """How many classes of things the network has. Raises ModelError where another number is stated."""
    state: dict[str, Any] = network.state_dict()
    found = head_channels(state)
    key = next((k for k in state if k.endswith("box_predictor.cls_score.weight")), None)
    if key is None or found is None or found < 1:
        raise ModelError(
            f"the box predictor of '{name}' knows {found if key else 'no'} class beside the background",
            expected="torchvision's box_predictor, with the background and one class or more",
            hint="MaskRCNN counts the background, edgeseg does not: build it with num_classes=classes + 1",
        )
    wanted = class_count(choice, held.classes)
    if wanted is not None and wanted != found:
        raise ModelError(
            f"'{name}' has {found} class(es) beside the background, --classes (or the data) says {wanted}",
            expected="as many, without the background",
            hint=f"use --classes {found}, or build it with num_classes={wanted + 1}",
        )
    return found


def _transform(network: MaskRCNN) -> Any:
    return network.transform


def _own_size(network: MaskRCNN) -> Size:
    """(height, width) of the largest image that its transform makes of a wide one."""
    transform = _transform(network)
    if transform.fixed_size is not None:
        width, height = transform.fixed_size
        return int(height), int(width)
    return int(transform.min_size[-1]), int(transform.max_size)


def _own_pixels(network: MaskRCNN, frame: Frame) -> Preprocess:
    """How its transform feeds it: values of 0 to 1, zeros at the right and the lower border."""
    transform = _transform(network)
    return Preprocess(
        frame=frame,
        mean=tuple(map(float, transform.image_mean)),
        std=tuple(map(float, transform.image_std)),
        resize="letterbox" if transform.fixed_size is None else "stretch",
    )


def _seen_otherwise(network: MaskRCNN, size: Size) -> tuple[str, ...]:
    """A warning where the network was made to see larger or smaller things than it will."""
    transform = _transform(network)
    own = (min(_own_size(network)), max(_own_size(network)))
    if min(size) == own[0] or max(size) == own[1]:
        return ()
    how = "" if transform.fixed_size is not None else f", of {own[1]} at most"
    return (
        f"WARNING: the network's own transform resizes images to a shorter side of {own[0]} pixels{how}; "
        f"here they are laid into {size[0]}x{size[1]}: things have other sizes than those it was trained on; "
        "state another size with --input-size",
    )
