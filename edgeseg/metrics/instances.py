"""Do the things of an image belong together?"""

from __future__ import annotations

import numpy as np

from edgeseg.core.instances import Instances
from edgeseg.errors import InputError
from edgeseg.metrics.confusion import require_ids


def require_instances(name: str, things: Instances, classes: int, *, masks: bool) -> None:
    """Raise InputError for arrays that do not belong together, numbers that are none, boxes that end before
    they start, masks that are asked for and not there, and ids outside the classes."""
    count = len(things.labels)
    wanted = {
        "boxes": (count, 4),
        "labels": (count,),
        "scores": (count,),
        "crowd": (count,),
        "area": (count,),
    }
    for field, shape in wanted.items():
        values = getattr(things, field)
        if values is None:
            continue
        if np.shape(values) != shape:
            raise InputError(f"{field} of {name} are {list(np.shape(values))}", expected=f"{list(shape)}")
        if field in ("boxes", "scores", "area") and not np.isfinite(values).all():
            raise InputError(f"{field} of {name} hold NaN or infinity", expected="finite numbers")
    if (things.boxes[:, 2:] < things.boxes[:, :2]).any():
        raise InputError(f"a box of {name} ends before it starts", expected="x0, y0, x1, y1 in pixels")
    if things.masks is not None and (things.masks.ndim != 3 or len(things.masks) != count):
        raise InputError(f"masks of {name} are {list(things.masks.shape)}", expected=f"[{count},H,W]")
    if masks and things.masks is None:
        raise InputError(f"{name} has boxes alone", expected="a mask of each thing", hint="judge the boxes")
    if not np.issubdtype(np.asarray(things.labels).dtype, np.integer):
        raise InputError(f"labels of {name} are {np.asarray(things.labels).dtype}", expected="integers")
    require_ids(name, things.labels, classes)


def require_same_size(first: tuple[str, Instances], second: tuple[str, Instances]) -> None:
    """Raise InputError for masks of two sizes; of each side its name and its things."""
    (name, things), (other, others) = first, second
    sizes = [None if side.masks is None else list(side.masks.shape[1:]) for side in (things, others)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"{name} has masks of {sizes[0]} pixels, {other} of {sizes[1]}", expected="the same size"
        )
