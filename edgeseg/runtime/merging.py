"""Things of an image merged to one class map: things over stuff."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.instances import Instances
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.errors import InputError


def working(things: Instances, spec: ModelSpec) -> Instances:
    """Those whose score reaches the threshold of their class: what counts at the working point."""
    least = np.array(spec.postprocess.thresholds(len(spec.classes)), np.float32)
    return things.where(things.scores >= least[things.labels])


def to_map(
    things: Instances, spec: ModelSpec, background: int | Array, ids: Sequence[int] | None = None
) -> NDArray[Any]:
    """A class map [H,W] of the things at the working point; of two at a pixel the surer one.

    Args:
        things: with masks, as a session returns them.
        background: the id where no thing is, or the map [H,W] of what lies behind, such as that of a semantic
            network.
        ids: of each class of `spec`, its id in the map; None: its place in `spec.classes`.

    Returns:
        uint8, or int32 where an id is above 255 or below 0.

    Raises:
        InputError: things without masks, a map of another size, or another number of ids than classes.
    """
    count = len(spec.classes)
    values = np.arange(count) if ids is None else np.asarray(ids, np.int64)
    if values.shape != (count,):
        raise InputError(f"{values.size} ids are given", expected=f"{count}, one for each class")
    if things.masks is None:
        raise InputError("the things have boxes alone", expected="a mask of each thing, bool [K,H,W]")
    size, behind = things.masks.shape[1:], np.asarray(background)
    if behind.shape not in ((), size):
        raise InputError(
            f"a background of {list(behind.shape)} and masks of {list(size)}",
            expected="one id, or a map of the height and width of the masks",
        )
    every = np.concatenate([values, [behind.min(initial=0), behind.max(initial=0)]])
    merged = np.zeros(size, np.uint8 if every.min() >= 0 and every.max() <= 255 else np.int32)
    merged[:] = behind
    shown = working(things, spec)
    masks = np.asarray(shown.masks)
    for place in np.argsort(shown.scores, kind="stable"):
        merged[masks[place]] = values[shown.labels[place]]
    return merged
